"""The diagnosis on the terminal, most important change first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from regtorch.app.doctor.diagnosis import Diagnosis
from regtorch.app.ground.errors import sentence
from regtorch.app.ground.lines import fitting
from regtorch.app.ground.live import is_live
from regtorch.doctor.causes import title_of
from regtorch.doctor.finding import Finding

if TYPE_CHECKING:
    from rich.console import Console

    from regtorch.app.doctor.proofs import Proof
    from regtorch.app.doctor.strength import Strength

__all__ = [
    "COLOURS",
    "announce",
    "print_diagnosis",
    "print_finding",
    "print_unwrapped",
    "print_wrapped",
    "progress",
    "proof_in_words",
    "strength_in_words",
]

COLOURS = {"severe": "bold red", "warning": "bold yellow", "info": "bold green"}
"""Of severities."""


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being measured in a status line, if stderr is a terminal."""
    from rich.console import Console

    if not is_live(sys.stderr):
        yield lambda _: None
        return
    with Console(stderr=True).status("") as status:
        yield lambda what: status.update(f"measuring: {what}")


def announce(what: str) -> None:
    """Announce a long computation if there is no status line."""
    if not is_live(sys.stderr):
        print(f"{what} …", flush=True)


def print_diagnosis(diagnosis: Diagnosis, folder: Path) -> None:
    """Print the findings, the files, the verdict, and the command with the change."""
    from rich.console import Console

    console = Console(highlight=False)
    for number, finding in enumerate((f for f in diagnosis.findings if f.severity != "info"), 1):
        proof = diagnosis.proof(finding)
        change = " ".join(diagnosis.change(finding))
        print_finding(console, number, finding, change, "" if proof is None else proof_in_words(proof))
    for finding in diagnosis.withdrawn:
        proof = diagnosis.proof(finding)
        assert proof is not None
        print_wrapped(console, f"withdrawn: {title_of(finding.cause)} ({finding.where}). {proof_in_words(proof)}")
    noted = dict.fromkeys(title_of(f.cause) for f in diagnosis.findings if f.severity == "info")
    if noted:
        print_wrapped(console, f"noted: {'; '.join(noted)}")
    if diagnosis.strength is not None:
        print_wrapped(console, strength_in_words(diagnosis.strength))
    if any(proof.verdict == "undecided" and (proof.cured or proof.without) for proof in diagnosis.proofs):
        print_wrapped(
            console, "Undecided causes may need more steps or seeds: seconds=600 gives short trainings more time."
        )
    for name in ("doctor.html", "doctor.json"):
        print_unwrapped(console, f"written: {folder / name}")
    console.print()
    print_wrapped(console, diagnosis.verdict, COLOURS[diagnosis.severity])
    if diagnosis.command:
        print_unwrapped(console, diagnosis.command)


def print_finding(console: Console, number: int, finding: Finding, change: str = "", proof: str = "") -> None:
    """Print a finding; `change` is code to copy."""
    from rich.text import Text

    head = Text(f"{number}  ")
    head.append(finding.severity, COLOURS[finding.severity])
    head.append(f"  {title_of(finding.cause)}: {finding.where}", "bold")
    console.print(head, soft_wrap=True)
    print_wrapped(console, sentence(finding.why), indent="   ")
    print_wrapped(console, f"Change: {sentence(finding.change)}", indent="   ")
    if proof:
        print_wrapped(console, proof, indent="   ")
    if change:
        print_unwrapped(console, f"   {change}", "cyan")
    console.print()


def proof_in_words(proof: Proof) -> str:
    """An experiment in one sentence: its verdict and the figures."""
    return sentence(f"{proof.verdict} by short trainings: {proof.why}")


def strength_in_words(strength: Strength) -> str:
    """The advised strength in one sentence."""
    return sentence(f"advised: reg.lam from {' to '.join(strength.ends)}: {strength.why}")


def print_wrapped(console: Console, text: str, style: str = "", indent: str = "") -> None:
    """Wrap to the terminal's width; rich's own wrapping leaves trailing blanks."""
    wrap = TextWrapper(
        width=max(30, console.width - 1),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    print_unwrapped(console, wrap.fill(text), style)


def print_unwrapped(console: Console, text: str, style: str = "") -> None:
    """Print a line that is to be copied; a command that is longer than the terminal is wide breaks with backslashes."""
    from rich.text import Text

    console.print(Text(fitting(text, console.file), style), soft_wrap=True)
