"""Why a regularizer hurts: what is examined, how it is left as it was found, and what a few steps show."""

from regtorch.doctor.finding import Finding

__all__ = ["Finding"]
