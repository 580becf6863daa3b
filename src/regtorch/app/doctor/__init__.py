"""`regtorch doctor`: examine a setup, prove the findings by short trainings, write the diagnosis."""
