"""Saves with intact checksums that are not this program's."""

from pathlib import Path
from typing import Any

import pytest

from regtorch.app.ground.errors import RunError
from regtorch.app.run.saves.saver import Saver
from regtorch.app.run.saves.saves import Saves
from regtorch.app.run.saves.store import Store

LIGHTNINGS = ("pytorch-lightning_version", "state_dict", "optimizer_states", "loops", "callbacks", "global_step")


@pytest.mark.parametrize(
    ("state", "lacks"),
    [
        ({"epoch": 1}, "lacks pytorch-lightning_version, state_dict, "),
        ({name: {} for name in LIGHTNINGS}, "lacks regtorch: "),
        ({name: {} for name in (*LIGHTNINGS, "regtorch")}, "lacks folder, generators, "),
        ({**{name: {} for name in LIGHTNINGS}, "regtorch": 5}, "lacks folder, generators, "),
    ],
)
def test_a_save_without_its_parts_is_refused(tmp_path: Path, state: dict[str, Any], lacks: str) -> None:
    saves = object.__new__(Saves)
    saves.folder = tmp_path
    saves.resumed = Store(tmp_path).write(state, [], step=1, epoch=0, seconds=1.0, settings={})
    with pytest.raises(RunError, match=f"{lacks}.*it is not this program's"):
        _ = Saver(saves).checkpoint
