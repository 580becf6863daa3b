"""The page of the documents: each claim beside what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from documents.claims import Claim, Document
from documents.runs import Found
from regtorch.app.figures.drawing import write_picture
from regtorch.app.ground.atomic import write_text
from regtorch.app.record.command import command
from regtorch.app.record.results import Run, curve
from regtorch.plot.panel import Axis, Panel, Series, look
from regtorch.spread import Spread, spread

__all__ = ["page"]


def page(documents: Sequence[Document], found: Mapping[str, Sequence[Found]], target: Path) -> None:
    """Write the page, and its pictures beside it.

    Args:
        documents: the documents.
        found: the runs of each claim.
        target: the page's file.
    """
    summary = ["| question | said | verdict |", "|---|---|---|"]
    sections: list[str] = []
    for document in documents:
        title = f"[{document.title}]({document.url})" if document.url else document.title
        sections += [f"## {title}", f"*{document.author}*", ""]
        for claim in document.claims:
            link = f"[{_cell(claim.question)}](#{_anchor(claim)})"
            summary.append(f"| {link} | {_cell(claim.said)} | {claim.verdict} |")
            sections += _section(claim, found[claim.name], target)
    head = [
        "# The documents, run",
        "",
        "Each claim of the documents beside what was measured: means ± standard deviations over seeds, of the last",
        "epoch unless an epoch is named. Written by `python scripts/report.py --documents`.",
        *_machines([run for of_claim in found.values() for of_one in of_claim for run in of_one.runs]),
        "",
    ]
    write_text(target, "\n".join([*head, *summary, "", *sections]).rstrip() + "\n")


def _anchor(claim: Claim) -> str:
    return claim.name.replace("_", "-")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _machines(runs: Sequence[Run]) -> list[str]:
    """On what the runs ran, as far as their summaries say."""
    counts: Counter[str] = Counter()
    for run in runs:
        torch = run.record.versions.get("torch")
        parts = [run.record.device, f"torch {torch}" if torch else None]
        counts[" with ".join(str(part) for part in parts if part)] += 1
    named = [f"{machine} ({count} run{'s' * (count > 1)})" for machine, count in counts.most_common() if machine]
    if len(counts) == 1 and named:
        named = list(counts)
    return [f"Run on {', '.join(named)}."] if named else []


def _section(claim: Claim, found: Sequence[Found], target: Path) -> list[str]:
    lines = [
        f'<a id="{_anchor(claim)}"></a>',
        f"### {claim.question}",
        "",
        *([f"*From the question “{claim.source}”.*", ""] if claim.source else []),
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
    if claim.draw and any(of_one.runs for of_one in found):
        picture = target.with_name("documents") / f"{claim.name}.png"
        write_picture([_panel(metric, found) for metric in claim.draw], "", picture)
        lines += [f"![{claim.question}]({picture.relative_to(target.parent).as_posix()})", ""]
    commands = [command("train", setting.words) for setting in claim.settings]
    return [*lines, "```sh", *commands, "```", ""]


def _panel(metric: str, found: Sequence[Found]) -> Panel:
    """A metric by epoch, a line per setting."""
    series = [
        Series.of_means(curve(group.runs, metric), group.setting.label, look(number))
        for number, group in enumerate(found)
    ]
    return Panel(metric, "", Axis("epoch", integers=True), Axis(), series)


def _table(claim: Claim, found: Sequence[Found]) -> list[str]:
    lines = [f"| setting | seeds | {' | '.join(claim.show)} |", "|---" * (2 + len(claim.show)) + "|"]
    for of_one in found:
        values = [_value(of_one.runs, metric) for metric in claim.show]
        cells = [_cell(of_one.setting.label), of_one.count, *("" if value is None else str(value) for value in values)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_notes(found)]


def _notes(found: Sequence[Found]) -> list[str]:
    """Which settings ran with overrides that the commands below do not have."""
    labels: dict[str, list[str]] = {}
    for of_one in found:
        for said, count in Counter(of_one.said).items():
            if said:
                some = f" ({count} of {len(of_one.runs)} runs)" if count < len(of_one.runs) else ""
                labels.setdefault(said, []).append(of_one.setting.label + some)
    notes = [f"{', '.join(those)}: run with `{said}`." for said, those in labels.items()]
    return [line for note in notes for line in (note, "")]


def _value(runs: Sequence[Run], metric: str) -> Spread | None:
    name, _, epoch = metric.partition("@")
    if epoch:
        return curve(runs, name).get(int(epoch))
    return spread(run.final(name) for run in runs)
