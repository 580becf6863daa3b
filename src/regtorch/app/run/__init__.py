"""`regtorch train`: one run, from its config to its files."""
