"""`scripts/doctor.py`, and `train.py doctor=true`."""

import json
import os
import re
import shlex
import signal
import sys
from html.parser import HTMLParser
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from command_line import FAST, ROOT, CommandLine, Result, run_once
from data_files import SHARED_DATA
from regtorch.app.doctor.history import KEYS
from regtorch.app.doctor.main import main
from regtorch.lightning.module import RegularizedModule
from thinned import thinned

pytestmark = pytest.mark.script

PHOTOGRAPHS = SHARED_DATA / "rock-paper-scissors.zip"


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")


def record(result: Result) -> dict:
    return json.loads((result.folder / "doctor.json").read_text())


def test_a_healthy_set_up(doctor: CommandLine):
    result = doctor("trainer=cpu", fast=False)
    assert (result.code, result.err) == (0, "")
    found = record(result)
    assert found["verdict"] in ("info", "warning")
    assert not [finding for finding in found["findings"] if finding["severity"] == "severe"]
    assert "validation_leak" not in [finding["cause"] for finding in found["findings"]]
    assert "ealthy" in result.out or "Nothing severe" in result.out


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("overrides", "causes"),
    [
        (("reg=l2", "reg.lam=1"), {"collapse", "penalty_dominates"}),
        (("reg=l1", "reg.lam=0.01"), {"collapse", "penalty_dominates"}),
        (("optimizer=sgd", "optimizer.lr=1e-9"), {"rate_too_small"}),
    ],
    ids=lambda value: " ".join(sorted(value)),  # workers must agree on the names
)
def test_a_failing_set_up(doctor: CommandLine, overrides: tuple[str, ...], causes: set[str]):
    result = doctor(*overrides)
    assert (result.code, result.err) == (3, "")
    found = record(result)
    first = found["findings"][0]
    assert (found["verdict"], first["severity"]) == ("severe", "severe")
    assert first["cause"] in causes
    assert first["override"] in result.out
    # The command is the same but for the change.
    (command,) = [line for line in result.out.splitlines() if line.startswith("python scripts/train.py ")]
    given = shlex.split(command)[2:]
    key = first["override"].partition("=")[0]
    assert first["override"] in given
    assert [text for text in given if not text.startswith(f"{key}=")] == [
        text for text in (*FAST, *overrides) if not text.startswith(f"{key}=")
    ]
    assert result.out.endswith(f"{command}\n")
    # The command cures, as far as the doctor can see.
    cured = doctor(*given, fast=False)
    assert first["cause"] not in {f["cause"] for f in record(cured)["findings"] if f["severity"] == "severe"}


def test_the_advised_strength_is_meant_as_the_given_one(doctor: CommandLine):
    keras, tf = (doctor("reg=l2", *given) for given in (("reg.lam=1",), ("reg.lam=2", "reg.convention=tf")))
    advised, halved = (record(result)["findings"][0] for result in (keras, tf))
    assert halved["numbers"] == advised["numbers"]
    assert (advised["override"], halved["override"]) == ("reg.lam=1e-03", "reg.lam=2e-03")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """With a penalty that is too strong, and without a terminal."""
    return run_once(main, tmp_path_factory.mktemp("script"), *FAST, "reg=l2", "reg.lam=1", "hydra.run.dir=here")


def test_the_record_is_whole_and_names_no_folder(script: Result):
    assert (script.code, script.err) == (3, "")
    text = (script.folder / "doctor.json").read_text()
    found = json.loads(text)
    of_setup = ["versions", "provenance", "config"]
    assert list(found) == ["schema", "overrides", "verdict", "findings", "proofs", "strength", "seconds", *of_setup]
    assert found["schema"] == 1
    assert found["overrides"] == [*FAST, "reg=l2", "reg.lam=1"]
    assert (found["proofs"], found["strength"]) == ([], None)
    for finding in found["findings"]:
        assert list(finding) == [
            *("cause", "where", "severity", "numbers", "why", "change", "remedy", "blame", "override", "withdrawn")
        ]
    assert str(script.folder.parent) not in text
    assert not list(script.folder.glob(".*.[0-9]*"))  # nothing half-written
    assert "here/doctor.html" in script.out


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag == "svg":
            self.pictures.append(dict(attrs))


def test_the_page_needs_nothing_else_and_says_what_its_plots_show(script: Result):
    html = (script.folder / "doctor.html").read_text()
    page = _Page()
    page.feed(html)
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "img", "iframe"} & page.tags
    assert not re.search(r"url\((?!#)|@import", html)
    assert len(page.pictures) == 3
    for picture, word in zip(page.pictures, ("task loss from", "hidden.weight", "hidden.weight"), strict=True):
        assert picture["role"] == "img"
        assert word in (picture["aria-label"] or "")
    ids = re.findall(r'\bid="([^"]+)"', html)
    own = {name for name in ids if f"#{name}" in html}
    assert all(ids.count(name) == 1 for name in own)  # a plot that refers to another's parts shows them
    assert "python scripts/train.py" in html


def test_it_is_plain_where_there_is_no_terminal(script: Result):
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", script.out)
    assert not [line for line in script.out.splitlines() if line != line.rstrip()]


def test_on_a_terminal_it_says_what_it_measures_and_without_a_penalty_draws_the_loss_alone(
    doctor: CommandLine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    result = doctor("trainer.max_epochs=1")
    assert "measuring" in result.err
    page = _Page()
    page.feed((result.folder / "doctor.html").read_text())
    assert len(page.pictures) == 1


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_it_refuses_a_sweep(doctor: CommandLine, tmp_path: Path, flag: str):
    result = doctor("reg=l1,l2", flag)
    assert result.code == 2
    assert "one setup at a time" in result.error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("reg=l3",), "l3"),
        (("reg.strength=1",), "reg.lam"),
        (("reg=l1,l2",), "reg=l1,l2: expected one value, received several; give one\n"),
        (("reg=l2", "reg.lam=-1"), "received -1"),
        (("cure=maybe",), "cure: expected true or false"),
        (("seconds=long",), "seconds: expected a time"),
        (("seconds=0",), "received 0"),
        (("seconds=1e308",), "received 1e+308"),
        (("+reg.new=1",), "a new key has no effect here"),
        (("data=npz", "data.dir=nowhere.npz"), "nowhere.npz"),
        (("strength=true", "reg=none", "data=npz", "data.dir=nowhere.npz"), "reg=none has no penalty"),
    ],
)
def test_errors_are_told_as_train_py_tells_them(doctor: CommandLine, overrides: tuple[str, ...], told: str):
    result = doctor(*overrides)
    assert result.code == 2
    assert told in result.error
    assert result.out == ""
    assert not (result.folder / "doctor.json").exists()


EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("experiment", thinned(EXPERIMENTS, lambda name: name in EXPERIMENTS[::4]))
def test_an_experiment_is_the_same_to_the_doctor_and_to_train_py(experiment: str):
    def config(name: str) -> dict:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            cfg = compose(name, [f"experiment={experiment}", "data.batch_size=7", "+optimizer.new=1", "out_dir=here"])
        made = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(made, dict)
        return made

    ours = config("doctor")
    assert [ours.pop(key) for key in ("cure", "strength", "seconds", *KEYS)] == [False, False, 100, *[None] * len(KEYS)]
    assert ours == config("train")


def test_help_names_what_is_new(doctor: CommandLine):
    result = doctor("--help", fast=False)
    assert result.code == 0
    for part in ("cure=true", "strength=true", "experiment: ", "rps_l1", "exit code"):
        assert part in result.out


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOGRAPHS.exists(), reason="needs rock-paper-scissors.zip in ../shared/data")
def test_a_leak_is_seen_in_real_photographs(doctor: CommandLine, tmp_path: Path):
    with ZipFile(PHOTOGRAPHS) as archive:
        photographs = [name for name in archive.namelist() if name.endswith(".jpg")]
        archive.extractall(tmp_path / "photographs", photographs[::6])
    small = "model=cnn", "model.input_shape=[3,32,32]", "data=rps", "data.size=[32,32]", "trainer=cpu"
    for leak, shares in ((True, [1.0]), (False, [])):
        result = doctor(*small, f"data.dir={tmp_path / 'photographs'}", f"data.leak={leak}", fast=False)
        leaks = [finding for finding in record(result)["findings"] if finding["cause"] == "validation_leak"]
        assert [finding["numbers"]["share"] for finding in leaks] == shares
        assert all((f["severity"], f["override"]) == ("severe", "data.leak=false") for f in leaks)


# train.py doctor=true


def test_training_goes_on_after_a_warning_and_is_the_same(train: CommandLine, tmp_path: Path):
    def trained(*arguments: str) -> tuple[Result, dict[str, torch.Tensor]]:
        result = train("reg=l2", "reg.lam=1", "trainer.max_epochs=1", *arguments)
        saved = torch.load(result.folder / "checkpoints" / "last.ckpt", weights_only=True)
        return result, saved["state_dict"]

    (result, weights), (silent, expected) = trained("doctor=true"), trained()
    assert (result.code, silent.err) == (0, "")
    lines = result.err.splitlines()
    assert lines
    assert all(line.startswith("warning: ") for line in lines)
    found = record(result)
    told = [finding for finding in found["findings"] if finding["severity"] != "info"]
    assert [line.split()[1].rstrip(",") for line in lines] == [finding["cause"] for finding in told]
    assert told[0]["severity"] == "severe"
    assert told[0]["override"] in lines[0]
    assert not (silent.folder / "doctor.json").exists()
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    first, second = (json.loads((r.folder / "summary.json").read_text())["final"] for r in (result, silent))
    assert first == second


def test_an_examination_that_fails_is_no_reason_not_to_train(train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("regtorch.app.run.warned.examine", fail)
    result = train("doctor=true", "trainer.max_epochs=1")
    assert result.code == 0
    assert result.err == "warning: the doctor could not examine the setup: RuntimeError: no\n"
    assert (result.folder / "summary.json").exists()


def test_a_switch_that_is_none_is_refused(train: CommandLine):
    assert "doctor: expected true or false" in train("doctor=maybe").error


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_short_trainings_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], asked: signal.Signals
):
    def ask(*_: object) -> None:
        before.append(None)
        if len(before) == 30:  # in the training itself
            os.kill(os.getpid(), asked)

    before: list[None] = []
    monkeypatch.setattr(RegularizedModule, "on_train_batch_start", ask)
    doctor = CommandLine(tmp_path, monkeypatch, capfd, main, "checkups")
    handler = signal.signal(asked, signal.SIG_DFL)  # tests in the background would ignore Ctrl-C
    try:
        result = doctor("reg=l2", "reg.lam=1", "cure=true", fast=False)
    finally:
        signal.signal(asked, handler)
    assert result.code == 128 + asked
    text = "interrupted" if asked == signal.SIGINT else "ended by SIGTERM"
    assert result.error.splitlines()[-1] == f"error: {text}"
    assert (result.folder / "error.txt").read_text().splitlines()[0] == text
