"""`regtorch doctor`: examine a set-up, prove the verdict by short trainings, write it down."""
