"""docs/trainers.md, made from what was measured: `python tests/trainers_page.py` writes it anew.

`python tests/trainers_page.py --measure [TRAINER ...]` measures first, which takes minutes; the trainers must be
installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from places import ROOT

__all__ = ["MEASURED", "PAGE", "page"]

PAGE = ROOT / "docs" / "trainers.md"
MEASURED = ROOT / "tests" / "trainers" / "measured.json"
PACKAGES = {  # a trainer's name in pip
    **{"plain loop": "torch", "Lightning": "lightning", "Fabric": "lightning", "Hugging Face": "transformers"},
    **{"Accelerate": "accelerate", "timm": "timm", "skorch": "skorch", "Ignite": "pytorch-ignite", "fastai": "fastai"},
}
LINES = {
    "plain loop": ("`reg.attach(optimizer)`", "plain_loop"),
    "Lightning": ("`Trainer(callbacks=[Regularize(rt.L2(1e-4))])`, of `regtorch.lightning`", "lightning_module"),
    "Fabric": ("`reg.attach(optimizer)`, before or after `fabric.setup`", "fabric_loop"),
    "Hugging Face": (
        "`Trainer(callbacks=[RegularizeCallback(rt.L2(1e-4))])`, of `regtorch.huggingface`",
        "huggingface_trainer",
    ),
    "Accelerate": ("`reg.attach(optimizer)`, before or after `prepare`", "accelerate_loop"),
    "timm": ("`reg.attach(optimizer)`, of `create_optimizer_v2`", "timm_script"),
    "skorch": ("`NeuralNet(callbacks=[Regularize([rt.L2(1e-4)])])`, of `regtorch.skorch`", "skorch_net"),
    "Ignite": ("`reg.attach(optimizer)`", "ignite_engine"),
    "fastai": (
        "`reg.add_grad_()` in `before_step`, or `reg.attach(learn.opt)` with its `OptimWrapper`",
        "fastai_learner",
    ),
}
NAIVE = """\
## The naive ways

Writing the penalty into the loss is exact in a plain loop. In a trainer it depends on what that does to the loss:

- Hugging Face's Trainer does not divide the loss by the accumulation steps if the model takes
  `num_items_in_batch`, as its own loss is divided already. A penalty added in `compute_loss` then counts once for
  each batch: with `gradient_accumulation_steps=2`, {naive} (`tests/trainers/test_naive.py`). Attached, it acts
  once a step.
- Lightning divides every loss by `accumulate_grad_batches`, also in the shorter window at the end of an epoch, and so
  weakens a penalty in the loss there. Attached, it has its full strength at each step.
- Clipping scales a penalty in the loss down with the task's gradient. Attached, it is added after clipping, as torch's
  own `weight_decay` is; to have it clipped, call `reg.add_grad_()` before clipping (`examples/grad_scaler.py`).
- Under a GradScaler `reg.add_grad_()` belongs behind `scaler.unscale_(optimizer)`; before it, the penalty would be
  divided by the scale.
"""


def page() -> str:
    """The page as it is to be."""
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    return "\n".join([*_table(measured), "", *_recipes(), "", NAIVE.format(naive=measured["naive"])])


def _table(measured: dict[str, Any]) -> Iterator[str]:
    cells: dict[str, dict[str, float | str]] = measured["cells"]
    modes = list(next(iter(cells.values())))
    notes: list[str] = []
    yield from (
        "# In every trainer",
        "",
        "`python tests/trainers_page.py` writes this page; `--measure` measures anew.",
        "",
        "The largest difference of a final weight, relative to its tensor, between a training with attached rules",
        "(`L2` on kernels, `L1` on biases, `MaxNorm`) and the same training in a plain loop in one process with the",
        "penalties in the loss: two epochs of a small net, SGD with momentum, in float64, under autocast in float32.",
        "Tests hold 1e-12 and 1e-6 (`tests/trainers/`). DDP and FSDP2 are two processes over gloo.",
        "",
        f"| trainer | {' | '.join(modes)} |",
        f"|---|{'--:|' * len(modes)}",
    )
    for trainer, row in cells.items():
        shown = [_shown(value, notes) for value in row.values()]
        yield f"| {trainer} {measured['versions'][trainer]} | {' | '.join(shown)} |"
    yield ""
    yield from (f"[{i}] {note}.  " for i, note in enumerate(notes, 1))
    yield ""
    others = ", ".join(f"{name} {number}" for name, number in measured["with"].items())
    yield f"Measured with {others}."


def _shown(value: float | str, notes: list[str]) -> str:
    if not isinstance(value, str):
        return f"{value:.0e}"
    kind, _, reason = value.partition(": ")
    if reason not in notes:
        notes.append(reason)
    return f"{'–' if kind == 'none' else kind} [{notes.index(reason) + 1}]"


def _recipes() -> Iterator[str]:
    yield from ("## The line for each", "", "| trainer | line | example |", "|---|---|---|")
    for trainer, (line, example) in LINES.items():
        yield f"| {trainer} | {line} | [{example}.py](../examples/{example}.py) |"
    more = (
        *("accumulation", "grad_scaler", "lightning_cli", "peft_lora", "torch_func", "compiled_step", "lbfgs", "sam"),
        *("schedule_free", "gan", "gradual_unfreezing"),
    )
    yield ""
    yield f"More of them: {', '.join(f'[{name}](../examples/{name}.py)' for name in more)}."


def measure(trainers: Sequence[str]) -> None:
    """Measure these trainers, and write the figures down beside those of the others."""
    from trainers.cells import ROWS, measured
    from trainers.modes import MODES
    from trainers.naive import counted
    from trainers.processes import measured_by_two

    found = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {"cells": {}, "versions": {}}
    for trainer in trainers or ROWS:
        with tempfile.TemporaryDirectory() as folder:
            of_two = measured_by_two([trainer], Path(folder) / "cells.json")[trainer]
        row = {mode: of_two[mode] if mode in of_two else measured(trainer, mode) for mode in MODES}
        print(trainer, row, flush=True)
        found["cells"][trainer] = row
        found["versions"][trainer] = version(PACKAGES[trainer])
        found["cells"] = {name: found["cells"][name] for name in ROWS if name in found["cells"]}
        _write(found)
    found["with"] = {name: version(name) for name in ("torch", "accelerate", "numpy")}
    found["naive"] = f"a factor of {counted(2):.6g}"
    _write(found)


def _write(found: dict[str, Any]) -> None:
    MEASURED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        sys.path[:0] = [str(ROOT / folder) for folder in ("tests/helpers", "examples")]
        measure(sys.argv[2:])
    PAGE.write_text(page(), encoding="utf-8")
