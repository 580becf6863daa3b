"""The check-up on the terminal: what to change first comes first, to be read in a minute."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from regtorch.app.doctor.result import Checkup
from regtorch.app.doctor.words import in_words
from regtorch.app.ground.errors import sentence
from regtorch.doctor.finding import Finding

if TYPE_CHECKING:
    from rich.console import Console

    from regtorch.app.doctor.cure import Proof
    from regtorch.app.doctor.strength import Strength

__all__ = ["announce", "print_checkup", "progress", "proof_in_words", "strength_in_words"]

_COLOURS = {"severe": "bold red", "warning": "bold yellow", "info": "bold green"}


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Say what is being measured: on a terminal in a line that moves."""
    from rich.console import Console

    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status("") as status:
        yield lambda what: status.update(f"measuring: {what}")


def announce(what: str) -> None:
    """Say what takes long where no line moves."""
    if not sys.stderr.isatty():
        print(f"{what} …", flush=True)


def print_checkup(checkup: Checkup, folder: Path) -> None:
    """Print findings, where the rest lies, the verdict, and the command with the change."""
    from rich.console import Console

    console = Console(highlight=False)
    told = [finding for finding in checkup.findings if finding.severity != "info"]
    for number, finding in enumerate(told, 1):
        _print_finding(console, number, finding, checkup)
    for finding in checkup.withdrawn:
        proof = checkup.proof(finding)
        assert proof is not None
        _print(console, f"withdrawn: {in_words(finding.cause)} ({finding.where}). {proof_in_words(proof)}")
    noted = dict.fromkeys(in_words(f.cause) for f in checkup.findings if f.severity == "info")
    if noted:
        _print(console, f"noted: {'; '.join(noted)}")
    if checkup.strength is not None:
        _print(console, strength_in_words(checkup.strength))
    if any(proof.verdict == "undecided" and (proof.cured or proof.without) for proof in checkup.proofs):
        _print(console, "What is undecided may need more steps or seeds: seconds=600 gives short trainings more time.")
    for name in ("doctor.html", "doctor.json"):
        _print_whole(console, f"written: {folder / name}")
    console.print()
    _print(console, checkup.verdict, _COLOURS[checkup.severity])
    if checkup.command:
        _print_whole(console, checkup.command)


def _print_finding(console: Console, number: int, finding: Finding, checkup: Checkup) -> None:
    from rich.text import Text

    head = Text(f"{number}  ")
    head.append(finding.severity, _COLOURS[finding.severity])
    head.append(f"  {in_words(finding.cause)}: {finding.where}", "bold")
    console.print(head, soft_wrap=True)
    _print(console, sentence(finding.why), indent="   ")
    _print(console, f"Change: {sentence(finding.change)}", indent="   ")
    proof, change = checkup.proof(finding), checkup.change(finding)
    if proof is not None:
        _print(console, proof_in_words(proof), indent="   ")
    if change:
        _print_whole(console, f"   {' '.join(change)}", "cyan")
    console.print()


def proof_in_words(proof: Proof) -> str:
    """An experiment in a sentence: its verdict and the figures."""
    return sentence(f"{proof.verdict} by short trainings: {proof.why}")


def strength_in_words(strength: Strength) -> str:
    """The advised strength in a sentence."""
    return sentence(f"advised is reg.lam from {strength.low:.2g} to {strength.high:.2g}: {strength.why}")


def _print(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """In lines of the terminal's width; rich's own wrapping leaves blanks at their ends."""
    wrap = TextWrapper(
        width=max(30, console.width - 1),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    _print_whole(console, wrap.fill(text), style)


def _print_whole(console: Console, text: str, style: str = "") -> None:
    """As it is, to be copied."""
    from rich.text import Text

    console.print(Text(text, style), soft_wrap=True)
