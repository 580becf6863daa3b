"""How far a sweep is."""

from pathlib import Path

import pytest

from regtorch.app.terminal import watch
from regtorch.app.terminal.watch import Watch


@pytest.mark.parametrize(("running", "left"), [(0, "0:01:10"), (3, "0:00:22")])
def test_running_jobs_count_as_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: int, left: str):
    folders = [tmp_path / str(number) for number in range(8)]
    clock = [0.0]
    monkeypatch.setattr(watch, "monotonic", lambda: clock[0])
    with Watch(dict.fromkeys(folders, ()), {}) as seen:
        for folder in folders[: 1 + running]:
            folder.mkdir()
        (folders[0] / "error.txt").write_text("out of memory\n\n")
        clock[0] = 10.0
        with seen.here():
            pass
        assert seen._left() == left
