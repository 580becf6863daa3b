"""One trial: what its epochs tell the search."""

from pathlib import Path

import optuna
import pytest

from command_line import FAST, ROOT
from regtorch.app.ground.errors import RunError
from regtorch.app.ground.silence import quiet
from regtorch.app.search.plan import Plan
from regtorch.app.search.worker import train_trial


def value_of(folder: Path, *overrides: str, monitor: str = "val/accuracy") -> float:
    given = [*FAST, "reg=l2", "logger=none", *overrides]
    plan = Plan(given, {}, monitor, True, "random", "none", 0, 4, str(folder))
    with quiet():
        return train_trial(optuna.create_study().ask(), plan, ROOT / "conf")


def test_epochs_without_validation_are_skipped(tmp_path: Path) -> None:
    seldom = value_of(tmp_path / "seldom", "trainer.max_epochs=4", "trainer.check_val_every_n_epoch=2")
    always = value_of(tmp_path / "always", "trainer.max_epochs=4")
    assert 0 < seldom <= always
    assert value_of(tmp_path / "score", "trainer.max_epochs=4", monitor="val/score") == always


@pytest.mark.parametrize("overrides", [(), ("trainer.check_val_every_n_epoch=5",)])
def test_a_metric_that_is_never_logged_is_an_error(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    monitor = "val/accuracy" if overrides else "val/acuracy"
    with pytest.raises(RunError, match=f"search.monitor={monitor}: a run logs .*train/accuracy"):
        value_of(tmp_path, *overrides, monitor=monitor)
    assert "a run logs" in (tmp_path / "trials" / "0" / "error.txt").read_text()
