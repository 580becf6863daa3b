"""The notebooks of the documentation: they run, and keep what they put out."""

from __future__ import annotations

import ast
import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from places import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_keep_what_they_put_out(path: Path):
    cells = code_of(path)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    parts = [part for output in outputs for part in output.get("data", output).items()]
    texts = " ".join(str(text) for kind, text in parts if kind != "image/png")
    assert not re.search(r"/(?:home|root|tmp|usr)/", texts)
    assert path.stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_run(path: Path, monkeypatch: pytest.MonkeyPatch):
    """A warning is an error, and what a cell shows at its end can be shown."""
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    names: dict[str, Any] = {"__name__": "notebook"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cell in code_of(path):
            tree = ast.parse("".join(cell["source"]))
            last = tree.body[-1]
            shown = isinstance(last, ast.Expr)
            body = tree.body[:-1] if shown else tree.body
            exec(compile(ast.Module(body, []), path.name, "exec"), names)
            if shown:
                value = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
                kept = [output for output in cell["outputs"] if output["output_type"] == "execute_result"]
                assert (value is not None) == bool(kept)
                assert not hasattr(value, "_repr_html_") or value._repr_html_()
    assert torch.is_grad_enabled()
