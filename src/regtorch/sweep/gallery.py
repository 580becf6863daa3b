"""The page of the documents: each claim beside what was measured."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regtorch.sweep.claims import Claim, Document, Setting
from regtorch.sweep.results import Run, Spread, curve, read_run, spread
from regtorch.training.outputs import write_text

__all__ = ["folder_of", "page", "train_missing"]

# Okabe and Ito's colours, which the colour-blind tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def folder_of(runs: Path, claim: Claim, setting: Setting, seed: int) -> Path:
    """Where the run of one seed lies."""
    return runs / claim.name / setting.label.replace(" ", "_") / str(seed)


def train_missing(documents: Sequence[Document], runs: Path, script: Path, extra: Sequence[str]) -> int:
    """Train what has not finished yet, one run after the other; returns how many failed."""
    failed = 0
    for claim in (claim for document in documents for claim in document.claims):
        for setting in claim.settings:
            for seed in range(setting.seeds):
                folder = folder_of(runs, claim, setting, seed)
                if read_run(folder) is None:
                    words = [*shlex.split(setting.overrides), f"seed={seed}", f"hydra.run.dir={folder}", *extra]
                    print(f"\n{claim.name}, {setting.label}, seed {seed}", flush=True)
                    failed += subprocess.run([sys.executable, script, *words], check=False).returncode != 0
    return failed


def page(documents: Sequence[Document], runs: Path, target: Path) -> list[str]:
    """Write the page and its pictures beside it; returns the claims whose runs are missing."""
    missing: list[str] = []
    summary = ["| question | said | verdict |", "|---|---|---|"]
    sections: list[str] = []
    for document in documents:
        sections += [f"## {document.title}", f"*{document.author}*", ""]
        for claim in document.claims:
            summary.append(f"| [{claim.question}](#{claim.name.replace('_', '-')}) | {claim.said} | {claim.verdict} |")
            found = {setting.label: _runs(runs, claim, setting) for setting in claim.settings}
            if any(not of_one for of_one in found.values()):
                missing.append(claim.name)
            sections += _section(claim, found, target)
    head = [
        "# The documents, run",
        "",
        "Each claim of the documents beside what was measured: means ± standard deviations over seeds, of the last",
        "epoch unless an epoch is named. Written by `python scripts/report.py --documents`.",
        "",
    ]
    write_text(target, "\n".join([*head, *summary, "", *sections]).rstrip() + "\n")
    return missing


def _runs(runs: Path, claim: Claim, setting: Setting) -> list[Run]:
    found = (read_run(folder_of(runs, claim, setting, seed)) for seed in range(setting.seeds))
    return [run for run in found if run is not None]


def _section(claim: Claim, found: dict[str, list[Run]], target: Path) -> list[str]:
    lines = [
        f'<a id="{claim.name.replace("_", "-")}"></a>',
        f"### {claim.question}",
        "",
        f"**The net.** {claim.net}",
        "",
        f"**Said.** {claim.said}",
        "",
        f"**Verdict: {claim.verdict}.** {claim.why}",
        "",
    ]
    if claim.answered_by:
        return [*lines, f"Answered by a test: `pytest {claim.answered_by}`", ""]
    lines += _table(claim, found)
    if claim.draw and any(found.values()):
        picture = target.with_name("documents") / f"{claim.name}.png"
        draw(claim.draw, found, picture)
        lines += [f"![{claim.question}]({picture.relative_to(target.parent).as_posix()})", ""]
    commands = [f"python scripts/train.py {setting.overrides}" for setting in claim.settings]
    return [*lines, "```sh", *commands, "```", ""]


def _table(claim: Claim, found: dict[str, list[Run]]) -> list[str]:
    lines = [f"| setting | seeds | {' | '.join(claim.show)} |", "|---" * (2 + len(claim.show)) + "|"]
    for label, runs in found.items():
        cells = [str(value) if (value := _value(runs, metric)) is not None else "" for metric in claim.show]
        lines.append(f"| {label} | {len(runs) or 'not run'} | {' | '.join(cells)} |")
    return [*lines, ""]


def _value(runs: Sequence[Run], metric: str) -> Spread | None:
    name, _, epoch = metric.partition("@")
    if epoch:
        return curve(runs, name).get(int(epoch))
    return spread(run.summary["final"].get(name) for run in runs)


def draw(metrics: Sequence[str], found: dict[str, list[Run]], path: Path) -> None:
    """Draw each metric by epoch, a line a setting: the mean over seeds in a band of one standard deviation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2 * len(metrics), 3.8), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for (label, runs), colour in zip(found.items(), _COLOURS, strict=False):
            _line(axes, label, curve(runs, metric), colour)
        axes.set(title=metric, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    FigureCanvasAgg(figure).print_png(temporary)
    os.replace(temporary, path)


def _line(axes: Any, label: str, points: dict[int, Spread], colour: str) -> None:
    epochs = list(points)
    means = [points[epoch].mean for epoch in epochs]
    marker = "o" if len(epochs) < 40 else ""
    axes.plot(epochs, means, label=label, color=colour, marker=marker, markersize=3)
    wide = [0.0 if points[epoch].count < 2 else points[epoch].deviation for epoch in epochs]
    low, high = ([m + sign * w for m, w in zip(means, wide, strict=True)] for sign in (-1, 1))
    axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
