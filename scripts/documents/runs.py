"""Finding the claims' runs in their folders: RUNS/CLAIM/LABEL_with_underscores/SEED."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from documents.claims import Claim, Document, Setting
from regtorch.app.record.overrides import compare
from regtorch.app.record.results import BrokenRun, Run, read_run

__all__ = ["Found", "find", "folder_of", "missing"]


@dataclass
class Found:
    """The runs of a setting.

    Attributes:
        claim: whose setting it is.
        setting: what was to be run.
        runs: the finished ones that the setting's overrides made.
        said: beside each of them, the overrides that a reader has to know.
        left_out: why others were not taken, with their folder.
        missing: the seeds that have not finished, or were not taken.
    """

    claim: Claim
    setting: Setting
    runs: list[Run] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)

    @property
    def count(self) -> str:
        """How many runs there are, and how many there should be if that is more."""
        wanted = self.setting.seeds
        return "not run" if not self.runs else str(wanted) if not self.missing else f"{len(self.runs)} of {wanted}"


def folder_of(runs: Path, claim: Claim, setting: Setting, seed: int) -> Path:
    """Where the run of one seed lies."""
    return runs / claim.name / setting.folder / str(seed)


def find(documents: Sequence[Document], runs: Path) -> Mapping[str, list[Found]]:
    """The runs of every claim, by its name, in the order of its settings."""
    claims = [claim for document in documents for claim in document.claims]
    return {claim.name: [_of_setting(runs, claim, setting) for setting in claim.settings] for claim in claims}


def _of_setting(runs: Path, claim: Claim, setting: Setting) -> Found:
    found = Found(claim, setting)
    for seed in range(setting.seeds):
        folder = folder_of(runs, claim, setting, seed)
        try:
            run = read_run(folder)
            differences, said = ([], []) if run is None else compare([*setting.words, f"seed={seed}"], run.overrides)
        except BrokenRun as error:
            found.left_out.append(f"{error}: left out")
            run, said, differences = None, [], []
        if differences:
            found.left_out.append(f"{folder} was made by other overrides ({', '.join(differences)}): left out")
        if run is None or differences:
            found.missing.append(seed)
        else:
            found.runs.append(run)
            found.said.append(" ".join(said))
    return found


def missing(found: Mapping[str, list[Found]]) -> list[str]:
    """The claims with missing runs, and how many of which setting there are."""
    lines: list[str] = []
    for name, settings in found.items():
        parts = [f"{f.setting.label}: {len(f.runs)} of {f.setting.seeds}" for f in settings if f.missing]
        if parts:
            lines.append(f"{name} ({', '.join(parts)})")
    return lines
