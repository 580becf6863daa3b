"""What the measurements look at: a net is run and stepped, and everything is put back."""
