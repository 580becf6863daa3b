"""What the measurements observe: the net is run and trained for a few steps, and everything is restored."""
