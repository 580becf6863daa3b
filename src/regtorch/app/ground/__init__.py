"""Errors, signals, locks, atomic files and folders of all programs."""
