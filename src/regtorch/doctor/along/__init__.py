"""Along a training: cheap looks at its steps and passes, and a word when something turns bad."""

from regtorch.doctor.along.watching import DoctorWarning, Watching, watch

__all__ = ["DoctorWarning", "Watching", "watch"]
