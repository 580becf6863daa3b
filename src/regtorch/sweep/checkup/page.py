"""doctor.html: one page that needs nothing else, for a screen of any width and for paper."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from pathlib import Path

from regtorch.doctor.causes import EXAMINED
from regtorch.doctor.finding import Finding
from regtorch.sweep.checkup.plots import Plot, plots
from regtorch.sweep.checkup.printed import proof_in_words, strength_in_words
from regtorch.sweep.checkup.result import Checkup
from regtorch.sweep.checkup.words import in_words
from regtorch.sweep.report.markup import prose
from regtorch.training.errors import sentence
from regtorch.training.whole import write_text

__all__ = ["write_page"]

_PAGE = "doctor.html"
_BADGES = {"severe": "severe", "warning": "warning", "info": "noted"}
_STYLE = """
:root { color-scheme: light; --severe: #b3261e; --warning: #8a5a00; --info: #1b6e3c; --line: #d9d9de; --soft: #f5f5f7 }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c22; max-width: 62rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem; margin: .5rem 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .75rem }
h3 { font-size: 1rem; margin: 0 0 .25rem } p { margin: .25rem 0 }
code { font: .875em/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; margin: .5rem 0;
  white-space: pre-wrap }
.verdict, .finding { border-left: 5px solid var(--c); padding: .5rem 0 .5rem 1rem; margin: 1rem 0 }
.verdict { background: var(--soft); padding-right: 1rem; font-size: 1.05rem }
.severe { --c: var(--severe) } .warning { --c: var(--warning) } .info { --c: var(--info) }
.finding.info { --c: #6a6a76 }
.badge { color: #fff; background: var(--c); border-radius: 4px; padding: 0 .45em; font-size: .8rem; font-weight: 600;
  margin-right: .4em }
.where, .text, .small { color: #5a5a66; font-size: .875rem }
dl { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0 0; font-size: .875rem }
dl div { display: flex; gap: .4em } dt { color: #5a5a66 } dd { margin: 0; font-variant-numeric: tabular-nums }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem }
figure { margin: 0; break-inside: avoid } figcaption { font-weight: 600; font-size: .9rem; min-height: 1.5em }
svg { width: 100%; height: auto; display: block }
.text { font-weight: 400 } .whole { white-space: nowrap }
.finding { break-inside: avoid }
@media print { body { font-size: 11pt; max-width: none; padding: 0 } .finding.info { --c: #6a6a76 }
.badge { border: 1px solid; color: var(--c);
  background: none } pre, .verdict { background: none } .plots { grid-template-columns: 1fr 1fr } }
"""


def write_page(folder: Path, checkup: Checkup) -> Path:
    """Write the page, whole or not at all."""
    path = folder / _PAGE
    write_text(path, "\n".join(_page(checkup)) + "\n")
    return path


def _page(checkup: Checkup) -> Iterator[str]:
    said = " ".join(checkup.overrides) or "the defaults"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>Check-up: {escape(said)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    yield f"<h1>Check-up</h1>\n<p><code>{escape(said)}</code></p>"
    yield f'<div class="verdict {checkup.severity}"><p>{prose(checkup.verdict)}</p>'
    if checkup.command:
        yield f"<pre><code>{escape(checkup.command)}</code></pre>"
    yield "</div>"
    for finding in checkup.findings:
        if finding.severity != "info":
            yield from _finding(checkup, finding)
    if checkup.strength is not None:
        yield f"<h2>How strong?</h2>\n<p>{prose(strength_in_words(checkup.strength))}</p>"
    yield from _plots(list(plots(checkup)))
    noted = [finding for finding in checkup.findings if finding.severity == "info"]
    if noted:
        yield "<h2>Noted</h2>"
        for finding in noted:
            yield from _finding(checkup, finding)
    if checkup.withdrawn:
        yield "<h2>Withdrawn</h2>\n<p>Measured, but refuted by an experiment.</p>"
        for finding in checkup.withdrawn:
            yield from _finding(checkup, finding)
    yield f'<p class="small">Examined in {checkup.seconds:.0f} s: {EXAMINED}. {_watched(checkup)}</p>'
    yield "</body>\n</html>"


def _finding(checkup: Checkup, finding: Finding) -> Iterator[str]:
    proof = checkup.proof(finding)
    yield f'<section class="finding {finding.severity}">'
    yield f'<h3><span class="badge">{_BADGES[finding.severity]}</span>{escape(in_words(finding.cause))}</h3>'
    yield f'<p class="where"><code>{escape(finding.where)}</code> · <code>{escape(finding.cause)}</code></p>'
    yield f"<p>{prose(sentence(finding.why))}</p>\n<p><b>Change:</b> {prose(sentence(finding.change))}</p>"
    if change := " ".join(checkup.change(finding)):
        yield f"<pre><code>{escape(change)}</code></pre>"
    if proof is not None:
        yield f"<p>{prose(proof_in_words(proof))}</p>"
    if finding.numbers:
        numbers = finding.numbers.items()
        parts = (f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{_number(v)}</dd></div>" for name, v in numbers)
        yield f"<dl>{''.join(parts)}</dl>"
    yield "</section>"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "not a number")
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.3g}"


def _plots(drawn: list[Plot]) -> Iterator[str]:
    if drawn:
        yield '<h2>Measured</h2>\n<div class="plots">'
        for plot in drawn:
            yield f'<figure>\n<figcaption>{escape(plot.title)}<br><span class="text">{prose(plot.text)}</span>'
            yield f"</figcaption>\n{plot.svg}\n</figure>"
        yield "</div>"


def _watched(checkup: Checkup) -> str:
    trial = checkup.examination.with_rules
    steps = f" and {len(trial.steps)} steps of training" if trial is not None else ""
    return f"Seen were {checkup.examination.batches} training batches{steps}."
