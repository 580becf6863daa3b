"""The doctor's command line: examine a set-up of `scripts/train.py`, prove the verdict, write it down."""
