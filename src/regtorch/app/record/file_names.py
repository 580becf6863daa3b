"""Names of the files that the programs write."""

__all__ = [
    "DIAGNOSIS",
    "DIAGNOSIS_PAGE",
    "ERROR",
    "JOURNAL",
    "METRICS",
    "OVERRIDES",
    "PATH",
    "RECEIPT",
    "SAVE",
    "SAVES",
    "SEARCH",
    "STEP",
    "SUMMARY",
    "TRIALS",
]

SUMMARY, ERROR, RECEIPT, DIAGNOSIS = "summary.json", "error.txt", "receipt.txt", "doctor.json"
DIAGNOSIS_PAGE = "doctor.html"
METRICS, OVERRIDES = "csv/metrics.csv", ".hydra/overrides.yaml"
PATH = "path.csv"
STEP = "diverged.pt"  # the step at which a training diverged
SAVES, SAVE = "saves", "saves/save-*"  # the folder of a run's saves, and a pattern of their places
SEARCH, TRIALS, JOURNAL = "search.json", "trials.csv", "journal.log"
