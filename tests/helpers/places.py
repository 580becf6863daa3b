"""Where things are, wherever a test lies."""

from pathlib import Path

__all__ = ["CONF", "ROOT", "SHARED"]

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
CONF = ROOT / "conf"
SHARED = ROOT.parent / "shared"
"""Data and recorded runs beside the checkout, which tests may find absent."""
