"""The pages of the documentation as tests see them: blocks, commands, links, anchors, pictures."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from places import ROOT
from regtorch.app.cli import PROGRAMS

__all__ = ["PAGES", "SITE", "anchors", "blocks", "commands", "links", "pictures", "prose", "shell", "text_of"]

SITE = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(path for path in SITE.rglob("*.md") if "_build" not in path.parts),
]
_FENCE = re.compile(r"^(`{3,}|:{3,})(.*?)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
_OURS = rf"(?:python3? (?:scripts/|tests/|-m )|regtorch (?:{'|'.join(PROGRAMS)})\b|make |pytest )"
_INLINE = re.compile(rf"`({_OURS}[^`]*)`")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a language; "" are those without."""
    return [body for _, about, body in _FENCE.findall(text_of(page)) if about.strip() == language]


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", re.sub(r"^:{3,}.*$", "", text_of(page), flags=re.MULTILINE))


def commands(page: Path) -> list[str]:
    """Every command: of shell blocks, of sessions behind a `$`, and of ours in the text and its tables."""
    found = [command.partition("\n")[0] for block in shell(page) for command in block]
    found += [line[2:] for block in blocks(page, "") for line in block.splitlines() if line.startswith("$ ")]
    return found + [text.replace("\n", " ") for text in _INLINE.findall(prose(page)) if "…" not in text]


def shell(page: Path) -> list[list[str]]:
    """The commands of each shell block, with the text behind `<<`; none of a script, which a test of its own runs."""
    found = []
    for block in blocks(page, "sh"):
        commands: list[str] = []
        end = ""
        for line in [] if block.startswith("#!") else block.splitlines():
            if end:
                commands[-1] += f"\n{line}"
                end = "" if line == end else end
            elif line.strip():
                commands.append(line)
                here = re.search(r"<<'(\w+)'", line)
                end = here[1] if here else ""
        found.append(commands)
    return found


def links(page: Path) -> list[str]:
    """What the page links to, pictures left out."""
    return [target for mark, _, target in _LINK.findall(prose(page)) if not mark]


def pictures(page: Path) -> list[tuple[str, str, str]]:
    """Each picture's words, file, and what follows it up to the next heading."""
    text = text_of(page)
    found = [match for match in _LINK.finditer(text) if match[1]]
    return [(match[2], match[3], re.split(r"\n#+ ", text[match.end() :])[0]) for match in found]


@cache
def anchors(page: Path) -> set[str]:
    """The targets inside a page: headings as GitHub names them, and those that are written out."""
    text = prose(page)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {_slug(heading) for heading in headings} | set(re.findall(r'<a id="([^"]+)">', text))


def _slug(heading: str) -> str:
    plain = _LINK.sub(r"\2", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
