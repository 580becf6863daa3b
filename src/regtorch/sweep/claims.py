"""The documents' claims: what is said, the runs that test it, and what we conclude. Their texts are docs/claims/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

__all__ = ["Claim", "Document", "Setting", "read_documents"]

_VERDICTS = ("holds", "holds in part", "does not hold", "not explained by what is printed", "cannot be judged")


@dataclass(frozen=True)
class Setting:
    """One row of a claim: a label and the overrides of train.py; `seeds` differs where a run is long."""

    label: str
    overrides: str
    seeds: int = 3


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        name: names its folder and picture.
        question: what was asked, in our words.
        net: the net and its setting.
        said: what the document says.
        settings: what is run.
        show: the metrics of the table's columns, such as "val/accuracy"; "@2" behind one names an epoch.
        draw: the metrics drawn by epoch.
        verdict: one of a few phrases.
        why: the reason, and what else was found.
        answered_by: a test that answers it, where no run does.
    """

    name: str
    question: str
    net: str
    said: str
    verdict: str
    why: str
    settings: Sequence[Setting] = ()
    show: Sequence[str] = ()
    draw: Sequence[str] = ()
    answered_by: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in _VERDICTS:
            raise ValueError(f"{self.name}: verdict must be one of {', '.join(_VERDICTS)}, received {self.verdict!r}")
        if bool(self.settings) == bool(self.answered_by):
            raise ValueError(f"{self.name}: a claim needs settings, or a test that answers it")


@dataclass(frozen=True)
class Document:
    """A document and its claims."""

    title: str
    author: str
    claims: Sequence[Claim] = field(default_factory=tuple)


def read_documents(folder: Path) -> list[Document]:
    """Read docs/claims/*.yaml.

    Raises:
        ValueError: a claim is not complete.
    """
    return [_document(OmegaConf.to_container(OmegaConf.load(path))) for path in sorted(folder.glob("*.yaml"))]


def _document(node: Any) -> Document:
    claims = [
        Claim(**{**claim, "settings": tuple(Setting(**setting) for setting in claim.get("settings", ()))})
        for claim in node["claims"]
    ]
    return Document(node["title"], node["author"], tuple(claims))
