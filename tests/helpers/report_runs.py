"""Folders as train.py, path.py and search.py leave them, made in no time."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

VERSIONS = {"python": "3.11.7", "regtorch": "0.1.0", "torch": "2.9.0"}
STAGES = ("train", "val")


def curve_of(lam: float, seed: int | None, epochs: int = 10, *, best: float = 1e-3) -> list[dict[str, float]]:
    """Epochs that get better, the most near the best strength."""
    noise = random.Random(f"{lam} {seed}")
    fit = math.exp(-(math.log10(max(lam, 1e-9) / best) ** 2) / 12)
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch - 1}
        for stage, worse in zip(STAGES, (0.0, 0.04), strict=True):
            accuracy = 0.1 + (0.85 * fit - worse) * (1 - math.exp(-epoch / 3)) + noise.gauss(0, 0.005)
            loss = 2.3 * (1 - accuracy)
            row |= {f"{stage}/accuracy": accuracy, f"{stage}/task_loss": loss, f"{stage}/penalty": lam * 50}
            row |= {f"{stage}/loss": loss + lam * 50}
        rows.append(row)
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def a_run(
    folder: Path,
    *overrides: str,
    lam: float = 0.01,
    reg: str = "l2",
    seed: int | None = 0,
    epochs: int = 10,
    hydra: bool = True,
    **summary: Any,
) -> Path:
    """A finished run of train.py."""
    if hydra:
        (folder / ".hydra").mkdir(parents=True)
        lines = "".join(f"- {json.dumps(text)}\n" for text in overrides)
        (folder / ".hydra" / "overrides.yaml").write_text(lines or "[]\n")
    rows = curve_of(lam if reg not in ("none", "dropout") else 1e-6, seed, epochs)
    (folder / "csv").mkdir(parents=True)
    (folder / "csv" / "metrics.csv").write_text(table(rows))
    (folder / "receipt.txt").write_text(f"MnistMLP: 28,630 parameters\n{reg} on hidden.weight\n")
    final = {key: value for key, value in rows[-1].items() if key != "epoch"}
    penalty = None if reg in ("none", "dropout") else {"_target_": f"regtorch.{reg.upper()}"}
    made = {
        "choices": {"model": "mnist_mlp", "data": "digits", "reg": reg, "constraint": "none", "optimizer": "adam"},
        "config": {"seed": seed, "reg": {"lam": lam, "rate": 0.5 if reg == "dropout" else None, "penalty": penalty}},
        "regularized": {"sparsity": min(1.0, lam * 5) if reg == "l1" else 0.0, "norm": 1 / (0.1 + lam)},
        "final": final | {"test/accuracy": final["val/accuracy"] - 0.01},
        "best": final | {"epoch": epochs},
        "device": "cpu",
        "versions": VERSIONS,
        **summary,
    }
    (folder / "summary.json").write_text(json.dumps(made))
    return folder


def a_grid(
    folder: Path, regs: Sequence[str], lams: Sequence[float], seeds: Sequence[int], *, epochs: int = 10, extra: str = ""
) -> Path:
    """What `-m reg=... reg.lam=... seed=...` leaves."""
    number = 0
    for reg in regs:
        for lam in lams:
            for seed in seeds:
                overrides = ["model=mnist_mlp", f"reg={reg}", f"reg.lam={lam!r}", f"seed={seed}", *extra.split()]
                a_run(folder / str(number), *overrides, lam=lam, reg=reg, seed=seed, epochs=epochs)
                number += 1
    (folder / "multirun.yaml").write_text("{}\n")
    return folder


def a_failed_run(folder: Path, reason: str, *overrides: str) -> Path:
    """A run that ended with an error."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {json.dumps(text)}\n" for text in overrides))
    (folder / "error.txt").write_text(f"{reason}\n\nTraceback\n")
    return folder


def a_path(folder: Path, lams: Sequence[float], seeds: Sequence[int], *, diverged: Sequence[int] = ()) -> Path:
    """What path.py leaves."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- model=mnist_mlp\n- reg=l1\n- path.lams=log:1e-5:1:4\n")
    rows, members = [], []
    for number, (lam, seed) in enumerate((lam, seed) for lam in lams for seed in seeds):
        epochs = curve_of(lam, seed)
        rows += [{"member": number, "lam": lam, "seed": seed, **e, "epoch": e["epoch"] + 1} for e in epochs]
        final = {key: value for key, value in epochs[-1].items() if key != "epoch"}
        reason = {"epoch": 2, "step": 7, "reason": "train/loss became nan in epoch 2"} if number in diverged else None
        members.append(
            {
                "member": number,
                "lam": lam,
                "seed": seed,
                "overrides": [f"reg.lam={lam!r}", f"seed={seed}"],
                "final": final,
                "best": {**final, "epoch": 10},
                "norm": 1 / (0.1 + lam),
                "zeros": min(1.0, lam * 5),
                "diverged": reason,
            }
        )
    (folder / "path.csv").write_text(table(rows))
    choices = {"model": "mnist_mlp", "data": "digits", "reg": "l1", "constraint": "none", "optimizer": "adam"}
    config = {"seed": 0, "reg": {"lam": 0.01, "rate": None, "penalty": {"_target_": "regtorch.L1"}}}
    summary = {"final": {}, "best": None, "path": {"members": members}, "choices": choices, "config": config}
    (folder / "summary.json").write_text(json.dumps({**summary, "device": "cpu", "versions": VERSIONS}))
    (folder / "receipt.txt").write_text("MnistMLP: 28,630 parameters, side by side\n")
    return folder


def a_search(folder: Path, trials: int) -> Path:
    """What search.py leaves: of five trials one is pruned, and one of seven fails."""
    draw = random.Random(0)
    rows = []
    for number in range(trials):
        lam, rate = 10 ** draw.uniform(-6, 0), draw.uniform(0, 0.8)
        state = "pruned" if number % 5 == 4 else "fail" if number % 7 == 6 else "complete"
        value = curve_of(lam, number)[-1]["val/task_loss"]
        rows.append(
            {
                "number": number,
                "state": state,
                "value": value if state == "complete" else None,
                "parameters": {"reg.lam": lam, "reg.rate": rate},
                "by_epoch": {} if state == "fail" else {"1": 2.0, "2": value},
                "seconds": 1.0,
                "reason": "train/loss became nan in epoch 1" if state == "fail" else None,
                "folder": f"/elsewhere/trials/{number}",
            }
        )
        if state == "complete":
            a_run(folder / "trials" / str(number), lam=lam, hydra=False)
    plan = {
        "overrides": ["model=mnist_mlp", "reg=l2", "out_dir=x"],
        "space": {"reg.lam": "log:1e-6:1", "reg.rate": "lin:0:0.8"},
        "monitor": "val/task_loss",
        "maximize": False,
    }
    best = {"number": 0, "command": "python scripts/train.py model=mnist_mlp reg=l2 reg.lam=0.001"}
    importance = {"reg.lam": 0.7, "reg.rate": 0.3}
    record = {"name": "search", "plan": plan, "best": best, "importance": importance, "trials": rows}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "search.json").write_text(json.dumps(record))
    return folder


def a_checkup(folder: Path, *findings: Mapping[str, Any]) -> Path:
    """What doctor.py leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"schema": 1, "overrides": [], "verdict": "severe", "findings": list(findings), "strength": None}
    (folder / "doctor.json").write_text(json.dumps(record))
    return folder
