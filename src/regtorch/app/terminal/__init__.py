"""Terminal output: bars, tables, the progress of a sweep."""
