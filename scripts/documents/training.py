"""Training what the documents' page has no runs of."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from documents.claims import Setting
from documents.runs import Found, folder_of
from regtorch.app.ground.folders import move_aside
from regtorch.app.record.overrides import compare, quoted

__all__ = ["train_missing"]

_INTERRUPTED = (130, -signal.SIGINT)


def train_missing(found: Mapping[str, list[Found]], runs: Path, script: Path, extra: Sequence[str] = ()) -> list[Path]:
    """Train what has not finished yet, one run after the other.

    Args:
        found: what there is, by claim.
        runs: where the runs lie.
        script: train.py.
        extra: overrides for every run.

    Returns:
        The folders of the runs that failed.

    Raises:
        ValueError: a folder holds another run, or `extra` changes what is measured; nothing has been trained.
        KeyboardInterrupt: the user ended it.
    """
    settings = [of_one for of_claim in found.values() for of_one in of_claim]
    wrong = [line.removesuffix(": left out") for of_one in settings for line in of_one.left_out]
    if wrong:
        raise ValueError("\n".join(f"{line}; move the folder away to train it anew" for line in wrong))
    for of_one in settings:
        _check(of_one.setting, extra)
    failed: list[Path] = []
    for of_one in settings:
        for seed in of_one.missing:
            folder = folder_of(runs, of_one.claim, of_one.setting, seed)
            print(f"\n{of_one.claim.name}, {of_one.setting.label}, seed {seed}", flush=True)
            move_aside(folder)
            words = [*of_one.setting.words, f"seed={seed}", *extra, f"hydra.run.dir={quoted(folder)}"]
            if _run([sys.executable, str(script), *words]):
                failed.append(folder)
    return failed


def _check(setting: Setting, extra: Sequence[str]) -> None:
    wanted = [*setting.words, "seed=0"]
    differences, _ = compare(wanted, [*wanted, *extra])
    if differences:
        raise ValueError(
            f"overrides: expected some that leave what is measured as it is, received {' '.join(extra)}: "
            f"the setting {setting.overrides!r} would have {', '.join(differences)}"
        )


def _run(command: Sequence[str]) -> int:
    with subprocess.Popen(command) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # A terminal's Ctrl-C reaches the run as well; it ends by itself and says so in its folder.
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)  # it was no terminal's
                process.wait()
            raise
    if code in _INTERRUPTED:
        raise KeyboardInterrupt
    return code
