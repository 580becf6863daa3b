"""Pictures of the pages and of the terminal for the site: `python tests/screens_pictures.py`.

Needs Chromium, and a minute. A sweep is trained and reported, and a setup is examined. Both pages are shown by a
browser of several widths, and what the doctor prints by a terminal of 60 and of 120 columns. With the folder of the
built site (`docs/_build/html`) as its argument, it pictures that instead.
"""

from __future__ import annotations

import html
import io
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from chromium import Page, browser
from places import ROOT

PICTURES = ROOT / "docs" / "pictures" / "screens"
SHORT = "trainer.max_epochs=5 callbacks=none logger=csv"
SWEEP = f"-m model=mnist_mlp reg=none,l1,l2 reg.lam=1e-5,1e-4,1e-3,1e-2 seed=0,1 {SHORT}"
EXAMINED = "model=mnist_mlp reg=l1 reg.lam=0.1"
WIDTHS = (1280, 768, 390)
SITE = (
    ("index", "site", 1280, "h1", 850),
    ("index", "site", 390, "h1", 964),
    ("notebooks/doctor", "notebook", 768, ".cell_output table", 615),
)
"""Page, name, width, what stands at the top, height."""
_LETTER, _LINE = 8, 19  # pixels
_INSTALLED = "import sys; sys.argv[0] = 'regtorch'; from regtorch.app.cli import main; sys.exit(main())"
"""Starts a program as the command that an installation has, so that it prints commands of that form."""


def program(name: str, words: str, folder: Path, columns: int = 120) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", _INSTALLED, name, *words.split()],
        cwd=folder,
        env={**os.environ, "COLUMNS": str(columns), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


def screen(page: Page, name: str) -> None:
    """Write what the screen shows as a small PNG."""
    image = Image.open(io.BytesIO(page.screenshot()))
    path = PICTURES / f"{name}.png"
    # An octree keeps the few pixels of a chart's colours apart from the many of the text.
    small = image.convert("RGB").quantize(method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.1f} KiB")


def terminal(page: Page, folder: Path, command: str, text: str, columns: int) -> None:
    """Write a terminal's text as a picture of so many columns."""
    lines = [f"$ {command}", *text.splitlines()]
    path = folder / "terminal.html"
    style = f"body{{margin:12px;background:#15151a;color:#e9e9ee}}pre{{margin:0;font:13px/{_LINE}px monospace}}"
    shown = html.escape("\n".join(lines))
    path.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style><pre>{shown}</pre>", encoding="utf-8")
    page.screen(columns * _LETTER + 24, len(lines) * _LINE + 24)
    page.open(path.as_uri())
    screen(page, f"terminal-{columns}")


def site(built: Path) -> None:
    """Picture the site's first page, and a notebook on it."""
    with TemporaryDirectory() as place, browser(Path(place, "profile")) as page:
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        for source, name, width, top, height in SITE:
            page.screen(width, height)
            page.open((built / f"{source}.html").absolute().as_uri())
            page.value(f"window.scrollTo(0, document.querySelector('{top}').getBoundingClientRect().top - 185)")
            screen(page, f"{name}-{width}")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    if sys.argv[1:]:
        site(Path(sys.argv[1]))
        return
    with TemporaryDirectory() as place, browser(Path(place, "profile")) as page:
        folder = Path(place)
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        program("train", f"{SWEEP} hydra.sweep.dir=sweep", folder)
        program("report", "sweep", folder)
        command = f"{EXAMINED} hydra.run.dir=checkup"
        for columns in (120, 60):
            text = program("doctor", f"{command}-{columns}", folder, columns)
            said = text.replace(str(folder), "~").replace(f"checkup-{columns}", "checkup")
            terminal(page, folder, f"regtorch doctor {EXAMINED}", said, columns)
        for width in WIDTHS:
            for dark in (False, True) if width == 390 else (False,):
                ending = "-dark" if dark else ""
                page.screen(width, 1500 if width == 1280 else 1000, dark=dark)
                page.open((folder / "sweep" / "report.html").as_uri())
                if width == 390:
                    page.value("document.querySelector('.of-script h3').scrollIntoView()")
                screen(page, f"report-{width}{ending}")
        page.screen(768, 1000)
        page.open((folder / "checkup-120" / "doctor.html").as_uri())
        screen(page, "doctor-768")


if __name__ == "__main__":
    main()
