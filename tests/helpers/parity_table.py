"""A table at the end of the run: what was compared, with whom, and how far apart it was."""

from __future__ import annotations

from typing import Any

PARITY = "parity"  # a property of a test's report, which also comes from the process of another worker


def pytest_terminal_summary(terminalreporter: Any) -> None:
    compared: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                for name, value in report.user_properties:
                    if name == PARITY:
                        what, whom, cases, apart = value
                        compared.setdefault((what, whom), []).append((cases, apart))
    if not compared:
        return
    terminalreporter.section("parity: largest difference, relative to the largest number compared")
    first, second = (max(len(key[i]) for key in compared) for i in (0, 1))
    for (what, whom), tests in sorted(compared.items()):
        cases, apart = sum(cases for cases, _ in tests), max(apart for _, apart in tests)
        terminalreporter.write_line(f"{what:{first}}  {whom:{second}}  {cases:6,} comparisons  {apart:8.1e}")
