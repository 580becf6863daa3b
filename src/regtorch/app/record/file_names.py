"""Names of the files that the programs write."""

__all__ = [
    "DIAGNOSIS",
    "ERROR",
    "JOURNAL",
    "METRICS",
    "OVERRIDES",
    "PATH",
    "RECEIPT",
    "SAVES",
    "SEARCH",
    "SUMMARY",
    "TRIALS",
]

SUMMARY, ERROR, RECEIPT, DIAGNOSIS = "summary.json", "error.txt", "receipt.txt", "doctor.json"
METRICS, OVERRIDES = "csv/metrics.csv", ".hydra/overrides.yaml"
PATH = "path.csv"
SAVES = "saves"  # the folder of a run's saves
SEARCH, TRIALS, JOURNAL = "search.json", "trials.csv", "journal.log"
