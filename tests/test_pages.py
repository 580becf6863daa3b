"""Every page: its blocks run, its commands parse, its links lead somewhere, its pictures say who drew them."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

import pages
import regtorch as rt
import rules_page
from bare_trainer import bare_trainer
from concepts import PICTURES, loop, selects
from done_once import do_once
from pages import PAGES, SITE
from places import CONF, ROOT
from regtorch.app.config.command_line import check_groups
from regtorch.app.config.hydra_settings import check_hydra
from regtorch.app.report.main import _parser as report_parser
from regtorch.conventions.__main__ import main as conventions

do_once()
_TESTS = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
RUN_HERE = [
    page
    for page in PAGES
    if pages.blocks(page, "python") and not any(f'"{page.name}"' in text for text in _TESTS.values())
]
COMMANDS = [(page, command) for page in PAGES for command in pages.commands(page)]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
_KERAS = "ignore:__array__ implementation:DeprecationWarning"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.filterwarnings(_KERAS, "ignore:.*LeafSpec:FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("page", RUN_HERE, ids=name_of)
def test_blocks_run_one_after_the_other(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if "import keras" in pages.text_of(page):
        pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"rt": rt, "torch": torch, "nn": nn}
    for block in pages.blocks(page, "python"):
        exec(block, names)


def test_what_start_shows_is_what_is_printed(capsys: pytest.CaptureFixture[str]):
    """But for the last digits, which depend on the machine."""
    readme, start = ROOT / "README.md", SITE / "start.md"
    exec(pages.blocks(readme, "python")[0], {})
    shown = pages.blocks(start, "")[0]
    digits = re.compile(r"\d+\.\d+")
    assert digits.sub("", capsys.readouterr().out) == digits.sub("", shown)


@pytest.mark.filterwarnings(_KERAS, "ignore::UserWarning", "ignore:.*LeafSpec:FutureWarning")
def test_training_of_the_page_on_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning.Trainer", lambda max_epochs, callbacks=(): bare_trainer(*callbacks, max_epochs=1))
    text = pages.text_of(SITE / "keras.md")
    saved = re.findall(r"```python\n(.*?)```", text[text.index("## A session") :], re.DOTALL)[0]
    first, second, third = re.findall(
        r"```python\n(.*?)```", text[text.index("## Training") : text.index("## Transfer")], re.DOTALL
    )
    names: dict[str, Any] = {"rt": rt, "torch": torch}
    exec(f"import lightning\n{saved}", names)
    data = torch.utils.data.TensorDataset(torch.from_numpy(names["x"]), torch.from_numpy(names["y"]))
    names |= {name: torch.utils.data.DataLoader(data, 20) for name in ("train_loader", "val_loader")}
    exec(first, names)
    exec(third, names)
    assert names["plateau"].last_epoch == 1
    names |= {"net": nn.Linear(3, 2), "rules": [rt.L2(0.01)]}
    exec(second, names)
    assert isinstance(names["module"], nn.Module)


@pytest.mark.sampled(75)
@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{name_of(page)}: {text}" for page, text in COMMANDS])
def test_commands_are_understood(page: Path, command: str, capsys: pytest.CaptureFixture[str]):
    check(command, capsys)


def check(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A command that its program would refuse fails."""
    parts = shlex.split(command.split(" && ")[0], comments=True)
    while parts and re.fullmatch(r"\w+=\S+", parts[0]):
        del parts[0]
    match parts:
        case ["python", "scripts/report.py", *rest] | ["regtorch", "report", *rest]:
            report_parser(True).parse_args(rest)
        case ["python", "scripts/demo.py", *rest] | ["regtorch", "demo", *rest]:
            assert set(rest) <= {"--help"}
        case ["python", "scripts/bench.py", *rest]:
            known = (ROOT / "scripts/benchmark/options.py").read_text(encoding="utf-8")
            assert all(f'"{word}"' in known for word in rest if word.startswith("--")), rest
        case ["python", "scripts/pictures.py", *rest]:
            assert set(rest) <= PICTURES.keys()
        case ["python", script, *rest] if re.fullmatch(r"scripts/(train|path|search|doctor)\.py", script):
            if "hydra/launcher=ray" in rest:
                pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="the extra ray is not installed")
            composed(Path(script).stem, rest)
        case ["regtorch", ("train" | "path" | "search" | "doctor") as program, *rest]:
            composed(program, rest)
        case ["python", "-c", code]:
            compile(code, command, "exec")
        case ["python", "-m", "regtorch.conventions", *rest]:
            assert not rest or conventions(rest) == 0
        case ["python", "-m", module, *_]:
            assert (ROOT / "tests" / module / "__main__.py").is_file() or module == "regtorch", module
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), script
        case ["make", *rest]:
            targets = {word for word in rest if "=" not in word}
            assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        case ["pip", "install", *rest]:
            named = [extra for word in rest for extra in re.findall(r"\[(.*?)\]", word)]
            assert set(",".join(named).split(",")) - {""} <= EXTRAS.keys()
        case ["pytest", *rest]:
            for word in (word.split("::")[0] for word in rest if word.startswith("tests/")):
                assert (ROOT / word).exists(), word
        case ["sbatch", *rest]:
            check(rest[rest.index("--wrap") + 1], capsys)
        case [tool, *_]:
            assert tool in {"cat", "cmp", "ls", "git"}, f"a command that this test does not know: {command}"


def composed(program: str, given: Sequence[str]) -> None:
    """The config of a command line, of the first job where it sweeps."""
    options = [word for word in given if word.startswith("-")]
    assert set(options) <= {"-m", "--help", "--config-dir=conf", "--config-dir=FOLDER"}, options
    words = [word for word in given if word not in options]
    check_hydra([*options, *words], program)
    if any("=mcp" in word for word in words):  # a config of docs/own_rules.md, whose own test runs it
        return
    check_groups(words, CONF)
    taken = {"resume", "rerun"}  # read before Hydra's turn
    words = [word for word in words if word.partition("=")[0] not in taken]
    firsts = [word.split(",")[0] for word in words] if "-m" in options else words
    with initialize_config_dir(str(CONF), version_base="1.3"):
        compose(program, [*firsts, "out_dir=here"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path):
    for target in pages.links(page):
        if not re.match(r"https?:|mailto:", target):
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), target
            assert not anchor or anchor in pages.anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_have_words_and_a_command(page: Path):
    for words, path, after in pages.pictures(page):
        assert words, path
        assert (page.parent / path).is_file(), path
        assert re.search(r"python (?:scripts|tests)/", after), f"{path}: who drew it?"


def test_drawings_are_small_and_all_there():
    drawn = {path.stem: path.stat().st_size for path in (SITE / "pictures").glob("*.svg")}
    assert drawn.keys() == PICTURES.keys()
    assert {name: size for name, size in drawn.items() if size > 30_000} == {}
    shown = {Path(path).stem for page in PAGES for _, path, _ in pages.pictures(page)}
    assert drawn.keys() <= shown


def test_screens_are_small_and_all_shown():
    screens = {path: path.stat().st_size for path in (SITE / "pictures" / "screens").glob("*.png")}
    shown = {(page.parent / path).resolve() for page in PAGES for _, path, _ in pages.pictures(page)}
    assert screens
    assert screens.keys() <= shown
    assert {path.name: size for path, size in screens.items() if size > 80_000} == {}


@pytest.mark.parametrize(("name", "draw"), [("select", selects.drawn), ("ways", loop.drawn)])
def test_drawings_without_measurements_are_as_drawn(name: str, draw: Callable[[], str]):
    path = SITE / "pictures" / f"{name}.svg"
    assert path.read_text(encoding="utf-8") == draw(), f"run: python scripts/pictures.py {name}"


def test_readme_is_short():
    assert len(pages.text_of(ROOT / "README.md").splitlines()) <= 150


def test_the_page_of_rules_has_every_rule():
    text = rules_page.PAGE.read_text(encoding="utf-8")
    assert text == rules_page.written(text), "run: python tests/rules_page.py"
