"""Folders of configs from other people: what Hydra would call, and what would expand beyond memory."""

import importlib
from pathlib import Path

import pytest

from command_line import CommandLine
from regtorch.app.cli import PROGRAMS
from regtorch.app.config.own_configs import check_own_configs, is_harmless
from regtorch.app.ground.errors import RunError

CALL = "{_target_: os.system, command: touch it-ran}"
LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("experiment/x.yaml", f"# @package _global_\nhydra: {{callbacks: {{x: {CALL}}}}}\n", "hydra.callbacks"),
        ("experiment/x.yaml", "a: {b: {hydra: {job_logging: {x: 1}}}}\n", "hydra.job_logging"),
        ("experiment/x.yaml", "hydra: ${reg}\n", "hydra.itself"),
        ("experiment/x.yaml", "hydra: {job: {env_set: {PYTHONPATH: x}}}\n", "hydra.job"),
        ("reg/x.yaml", f"# @package hydra.callbacks\nx: {CALL}\n", "its package"),
        ("reg/x.yaml", f"x: {CALL}\n---\ny: 1\n", "expected YAML"),
        ("experiment/x.yaml", "defaults:\n- reg@hydra.callbacks: x\n", "the default 'reg@hydra.callbacks'"),
        ("experiment/x.yaml", "defaults:\n- reg/x@_global_.hydra.callbacks\n", "the default 'reg/x@_global_"),
        ("hydra/callbacks/x.yaml", f"x: {CALL}\n", "what is in the folder hydra"),
        ("reg/x.yaml", "a: &a\n  b: *a\n", "expected no value within itself, received *a"),
        ("reg/x.yaml", LAUGHS, "expected no aliases, or fewer"),
        ("reg/x.yaml", "a: !!python/object/apply:os.system [touch it-ran]\n", "could not determine a constructor"),
    ],
)
def test_a_config_that_could_call_anything_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(RunError) as error:
        check_own_configs(tmp_path)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)


@pytest.mark.script
@pytest.mark.parametrize("program", ["train", "path", "search", "doctor"])
@pytest.mark.parametrize(
    "words",
    [
        "--config-dir={0}",
        "-cd={0}",
        "hydra.searchpath=[{0}]",
        "hydra.searchpath=[file://{0}]",
        "hydra.searchpath=[pkg://strangers.mine]",
        "hydra.searchpath=['{0}','{0}']",
        "seed=0 hydra.searchpath=[pkg://regtorch,{0}]",
    ],
)
def test_every_way_to_give_a_folder_of_configs_is_checked(
    program: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "strangers" / "mine"
    (folder / "experiment").mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "experiment" / "x.yaml").write_text(f"# @package _global_\nhydra: {{callbacks: {{x: {CALL}}}}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    main = importlib.import_module(PROGRAMS[program][0]).main
    result = CommandLine(tmp_path, monkeypatch, capfd, main)(*words.format(folder).split(), "experiment=x", fast=False)
    assert result.code == 2
    assert "x.yaml: hydra.callbacks: configs of one's own may set only" in result.error
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.script
@pytest.mark.parametrize("words", ["--config-path={0}", "-cp={0}", "--config-name=x", "--experimental-rerun=x.pickle"])
def test_the_programs_own_configs_are_not_replaced(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    result = CommandLine(tmp_path, monkeypatch, capfd)(words.format(tmp_path), fast=False)
    assert result.code == 2
    assert "the program has its own configs; omit it" in result.error


def test_configs_of_ones_own_may_set_folders_and_have_anchors(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("hydra: {run: {dir: here}}\na: &a {lam: 1}\nb: *a\n")
    check_own_configs(tmp_path)


@pytest.mark.parametrize(
    ("override", "harmless"),
    [
        ("reg.lam=1", True),
        ("hydra/launcher=joblib", True),
        ("hydra.launcher.n_jobs=2", True),
        ("hydra.sweep.dir=x", True),
        ("hydra.job.num=1", True),
        ("+hydra.callbacks.x._target_=os.system", False),
        ("hydra.job_logging.handlers.x.class=os.system", False),
        ("hydra.launcher.setup=[touch it-ran]", False),
        ("hydra.launcher=${reg.x}", False),
        ("hydra.searchpath=[/tmp]", False),
        ("hydra/callbacks=x", False),
        ("+reg@hydra.callbacks=x", False),
        ("hydra.launcher._target_=os.system", False),
        ("--config-dir=/tmp", False),
    ],
)
def test_overrides_of_a_strangers_run(override: str, harmless: bool) -> None:
    assert is_harmless(override) is harmless
