"""What the terminal shows: bars, tables, the progress of a sweep."""
