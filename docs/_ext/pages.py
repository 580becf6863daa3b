"""Pages that read well in the repository, and better here: anchors in HTML, links to its files, pictures inline."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from docutils import nodes

_ANCHOR_LINE = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)
_ANCHOR = re.compile(r'<a id="([\w-]+)"></a>(`[^`\n]+`)')


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("source-read", _read)
    app.connect("doctree-resolved", _inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _read(app: Any, name: str, source: list[str]) -> None:
    """`<a id="x"></a>` is a target that links are checked against."""
    text = _ANCHOR_LINE.sub(r"(\1)=", source[0])
    source[0] = _ANCHOR.sub(r"[\2]{#\1}", text)


def _inline(app: Any, tree: nodes.document, name: str) -> None:
    """An SVG of ours takes the page's colours, light or dark."""
    if app.builder.format != "html":
        return
    for image in list(tree.findall(nodes.image)):
        path = Path(app.srcdir) / image["uri"]
        if path.suffix == ".svg" and path.parent.name == "pictures":
            drawing = path.read_text(encoding="utf-8").partition("<svg ")[2]
            label = html.escape(image.get("alt", ""), quote=True)
            width = re.search(r'width="(\d+)', drawing)
            fits = "if-narrow" in image["classes"]
            least = f"min-width:min(34rem,{width[1]}px)" if width and not fits else ""
            kind = " ".join(["picture-box", *image["classes"]])
            raw = f'<div class="{kind}"><svg role="img" aria-label="{label}" style="{least}" {drawing}</div>'
            image.replace_self(nodes.raw("", raw, format="html"))
