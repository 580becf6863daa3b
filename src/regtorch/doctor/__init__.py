"""Why does my regularizer hurt? Measurements on a net, a few batches, its optimizer and its rules."""

from regtorch.doctor.diagnose import diagnose
from regtorch.doctor.finding import Finding, Findings
from regtorch.doctor.history.read import read_history

__all__ = ["Finding", "Findings", "diagnose", "read_history"]
