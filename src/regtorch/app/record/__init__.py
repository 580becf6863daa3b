"""Records of runs and how they are read, ranked and run again."""
