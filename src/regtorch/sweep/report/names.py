"""The files that tell what a folder is. Their writers are not imported: they need Lightning, or Optuna's lock files."""

__all__ = ["JOURNAL", "PATH_CSV", "SEARCH_JSON"]

PATH_CSV = "path.csv"
SEARCH_JSON = "search.json"
JOURNAL = "journal.log"
