"""Tables on narrow terminals."""

import pytest
from rich.table import Table

from regtorch.app.terminal.table import print_metrics, print_table


@pytest.mark.parametrize("width", [1, 20, 40, 200])
def test_numbers_are_never_truncated(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", str(width))
    print_metrics({"train/task_loss": 1234.5, "train/accuracy": 0.5}, {"epoch": 12, "val/accuracy": 0.25})
    table = Table(*"abcdefghi", pad_edge=False, collapse_padding=True)
    for column in table.columns:
        column.no_wrap = True
    table.add_row(*(f"{n}234567.8" for n in range(9)))
    print_table(table)
    said = capsys.readouterr().out
    assert all(text in said for text in ("1234.5000", "0.5000", "0.2500", *(f"{n}234567.8" for n in range(9))))
