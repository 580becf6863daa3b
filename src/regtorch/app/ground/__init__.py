"""What every program stands on: errors, signals, locks, atomic files, folders."""
