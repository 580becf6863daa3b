"""Names of the files that the programs write."""

__all__ = ["DIAGNOSIS", "ERROR", "JOURNAL", "METRICS", "OVERRIDES", "PATH", "RECEIPT", "SEARCH", "SUMMARY", "TRIALS"]

SUMMARY, ERROR, RECEIPT, DIAGNOSIS = "summary.json", "error.txt", "receipt.txt", "doctor.json"
METRICS, OVERRIDES = "csv/metrics.csv", ".hydra/overrides.yaml"
PATH = "path.csv"
SEARCH, TRIALS, JOURNAL = "search.json", "trials.csv", "journal.log"
