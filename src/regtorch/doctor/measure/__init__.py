"""The measurements: one fault, or one family of faults, per file."""
