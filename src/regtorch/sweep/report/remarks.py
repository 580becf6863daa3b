"""The page's sections about what the doctor found, what failed, what cannot be read, and the receipts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from regtorch.app.record.files import RECEIPT
from regtorch.app.record.json_file import node, number
from regtorch.doctor.causes import SEVERITIES, precedence
from regtorch.sweep.checkup.words import in_words
from regtorch.sweep.report.collect import Diagnosis
from regtorch.sweep.report.entry import Lost
from regtorch.sweep.report.markup import code, command, count, details, prose
from regtorch.sweep.report.settings import Experiment
from regtorch.training.errors import sentence
from regtorch.training.reading import is_there, read_text

__all__ = ["of_doctor", "of_lost", "of_receipts", "of_unreadable"]

_RECEIPTS = 50
_SHOWN = 3  # places of one reason that are not folded
_LISTED = 200  # that are listed at all


def of_doctor(diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """The findings, the gravest first, each once with where it was found."""
    groups: dict[tuple[str, ...], list[str]] = {}
    why: dict[tuple[str, ...], str] = {}
    advised: list[str] = []
    for diagnosis in diagnoses:
        for finding in diagnosis.record["findings"]:
            if isinstance(finding, dict) and not finding.get("withdrawn"):
                keys = ("severity", "cause", "where", "change", "override")
                key = tuple(str(finding.get(name) or "") for name in keys)
                groups.setdefault(key, []).append(diagnosis.name)
                why.setdefault(key, sentence(str(finding.get("why") or "")))
        advised += _advised(diagnosis)
    if not groups:
        yield f"<p>Nothing to change in {count(len(diagnoses), 'check-up')}.</p>"
    for key in sorted(groups, key=lambda key: (precedence(key[0], key[1]), -len(groups[key]), key)):
        severity, cause, where, change, override = key
        yield f'<div class="finding {prose(severity) if severity in SEVERITIES else "info"}">'
        yield f"<h3>{prose(in_words(cause))} <small>{prose(severity)}</small></h3>"
        yield f"<p>{code(where)}: {prose(why[key])}</p>\n<p><b>Change:</b> {prose(sentence(change))}</p>"
        if override:
            yield command(override)
        yield f'<p class="note">In {_places(groups[key])}.</p>\n</div>'
    for line in advised:
        yield f"<p>{line}</p>"


def _advised(diagnosis: Diagnosis) -> list[str]:
    low, high = (number(node(diagnosis.record, "strength", end)) for end in ("low", "high"))
    if low is None or high is None:
        return []
    return [f"{code(diagnosis.name)}: strengths from {low:.2g} to {high:.2g} are advised."]


def _places(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(code(name) for name in names[:_SHOWN]) + more


def of_lost(lost: Sequence[Lost]) -> Iterator[str]:
    """What failed and why, and what has not finished: once a reason."""
    for finished, words in ((True, "failed"), (False, "not finished")):
        reasons: dict[str, list[Lost]] = {}
        for one in lost:
            if one.finished == finished:
                reasons.setdefault(one.reason, []).append(one)
        for reason, those in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
            items = [f"<li>{code(one.name)}{': ' + code(one.what) if one.what else ''}</li>" for one in those[:_LISTED]]
            if len(those) > _LISTED:
                items.append(f"<li>and {len(those) - _LISTED:,} more</li>")
            yield f'<div class="finding {"severe" if finished else "info"}">'
            yield f"<p><b>{prose(reason)}</b> ({len(those):,} {words})</p>"
            yield f"<ul>{''.join(items[:_SHOWN])}</ul>"
            if len(items) > _SHOWN:
                yield details(f"{len(those) - _SHOWN:,} more", f"<ul>{''.join(items[_SHOWN:])}</ul>")
            yield "</div>"


def of_unreadable(lines: Sequence[str]) -> str:
    """Which files could not be read, and why."""
    items = "".join(f"<li>{prose(line)}</li>" for line in lines)
    return f"<p>Left out; everything else is shown.</p>\n<ul>{items}</ul>"


def of_receipts(experiments: Sequence[Experiment]) -> Iterator[str]:
    """What was regularized, of a run of each setting."""
    found: dict[str, str] = {}
    settings = [(experiment, setting) for experiment in experiments for setting in experiment.settings]
    left = 0
    for experiment, setting in settings:
        path = setting.entries[0].run.folder / RECEIPT
        key = path.parent.as_posix()
        if len(found) >= _RECEIPTS:
            left += 1
        elif key not in found and is_there(path):
            try:
                text = read_text(path, errors="replace").strip()
            except (OSError, ValueError) as error:
                text = f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}"
            label = f"{experiment.title}: {setting.label} ({setting.entries[0].name})"
            found[key] = details(label, f"<pre>{code(text)}</pre>")
    yield from found.values()
    if left:
        yield f'<p class="note">Those of {count(left, "further setting")} lie in receipt.txt of their runs.</p>'
