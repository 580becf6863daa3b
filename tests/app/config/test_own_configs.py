"""Folders of configs from other people: what Hydra would call, and what would expand beyond memory."""

from pathlib import Path

import pytest

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
