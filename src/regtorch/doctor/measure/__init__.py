"""The measurements: a fault or a family of faults in each file."""
