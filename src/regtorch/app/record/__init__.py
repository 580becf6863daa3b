"""What a run leaves and what is said about it: its record, its rank, its axes, its overrides and its command."""
