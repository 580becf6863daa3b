"""The documents' page: their claims beside what was measured; `python scripts/report.py --documents` writes it."""
