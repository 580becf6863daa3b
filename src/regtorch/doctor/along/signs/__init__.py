"""What looks can show: one file for each kind of sign."""
