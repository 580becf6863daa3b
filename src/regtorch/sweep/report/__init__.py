"""The report: one page about whatever runs, grids, paths and searches lie in a folder."""
