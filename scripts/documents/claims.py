"""The documents' claims: what is said, the runs that test it, and what we conclude. Their texts are docs/claims/."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from documents.schema import Kind, check, listed, matching, one_of, text, twice, whole
from regtorch.app.ground.reading import read_yaml
from regtorch.app.record.overrides import parse

__all__ = ["Claim", "Document", "Setting", "read_documents"]

_VERDICTS = ("holds", "holds in part", "does not hold", "not explained by what is printed", "cannot be judged")


@dataclass(frozen=True)
class Setting:
    """One row of a claim: a label and the overrides of train.py; `seeds` differs where a run is long."""

    label: str
    overrides: str
    seeds: int = 3

    @property
    def words(self) -> list[str]:
        """The overrides, one by one."""
        return shlex.split(self.overrides)

    @property
    def folder(self) -> str:
        """The name of the folder with its runs."""
        return self.label.replace(" ", "_")


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
        source: the title of the question that it comes from, in a document of several.
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
    source: str = ""

    def __post_init__(self) -> None:
        where = f"claim {self.name}"
        if bool(self.settings) == bool(self.answered_by):
            received = "both" if self.settings else "neither"
            raise ValueError(f"{where}: expected settings, or answered_by with a test's name, received {received}")
        for folder in twice([setting.folder for setting in self.settings]):
            raise ValueError(f"{where}: settings: expected labels that differ, received {folder!r} twice")


@dataclass(frozen=True)
class Document:
    """A document and its claims; `url` is where it is read, as far as known."""

    title: str
    author: str
    claims: Sequence[Claim]
    url: str = ""


_METRIC = r"(train|val|test)/\w+"
_some = Kind("a list that is not empty", lambda value: isinstance(value, list) and bool(value))
_DOCUMENT = {"title": text, "author": text, "claims": _some, "url": matching("an address", r"https://\S+")}
_CLAIM = {
    "name": matching("a text of letters, digits and _", r"\w+"),
    **dict.fromkeys(("question", "net", "said"), text),
    "verdict": one_of(*_VERDICTS),
    "why": text,
    "settings": _some,
    "show": listed("a list of metrics such as val/accuracy or val/accuracy@2", matching("", _METRIC + r"(@[1-9]\d*)?")),
    "draw": listed("a list of metrics such as val/accuracy", matching("", _METRIC)),
    "answered_by": text,
    "source": text,
}
_SETTING = {
    "label": matching("a text without / or line break", r"[^/\\\s]([^/\\\n]*[^/\\\s])?"),
    "overrides": Kind("a text", lambda value: isinstance(value, str)),
    "seeds": whole,
}


def read_documents(folder: Path) -> list[Document]:
    """Read docs/claims/*.yaml.

    Raises:
        ValueError: a file is not as it should be; with its name, and the claim's.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ValueError(f"{folder}: expected claims in *.yaml files, received none")
    documents: list[Document] = []
    for path in paths:
        node = read_yaml(path)
        try:
            check("document", node, _DOCUMENT, Document)
            claims = tuple(_claim(number, claim) for number, claim in enumerate(node["claims"], 1))
            documents.append(Document(**{**node, "claims": claims}))
            for name in twice([claim.name for document in documents for claim in document.claims]):
                raise ValueError(f"claim {name}: name: expected a name of its own, received that of another claim")
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    return documents


def _claim(number: int, node: Any) -> Claim:
    name = node.get("name", number) if isinstance(node, dict) else number
    check(f"claim {name}", node, _CLAIM, Claim)
    settings = tuple(_setting(f"claim {name}: setting", setting) for setting in node.get("settings", ()))
    return Claim(**{**node, "settings": settings})


def _setting(where: str, node: Any) -> Setting:
    if isinstance(node, dict) and "label" in node:
        where += f" {node['label']}"
    check(where, node, _SETTING, Setting)
    setting = Setting(**node)
    try:
        words = setting.words
    except ValueError as error:
        raise ValueError(
            f"{where}: overrides: expected words as in a shell, received {setting.overrides!r} ({error})"
        ) from None
    try:
        parse(words)
    except ValueError as error:
        raise ValueError(f"{where}: overrides: {error}") from None
    return setting
