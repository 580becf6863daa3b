"""Saves of an unfinished run, and the way back from one to the step that it was written at."""
