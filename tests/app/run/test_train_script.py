import gc
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from command_line import FAST, HEAVY, ROOT, CommandLine

pytestmark = pytest.mark.script

BARE = ("callbacks=none", "logger=none")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_a_run_leaves_the_documented_files(train: CommandLine):
    result = train("reg=l2", "reg.lam=0.01", "constraint=max_norm")
    assert (result.code, result.err) == (0, "")
    folder = result.folder
    assert folder.parent.name == "mnist_mlp-l2"
    for name in (".hydra/config.yaml", "csv/metrics.csv", "receipt.txt", "history.png"):
        assert (folder / name).stat().st_size > 0
    assert list((folder / "tensorboard").glob("events.*"))
    assert not (folder / "error.txt").exists()
    assert not list(folder.rglob(".*.part"))  # nothing half-written

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["parameters"] == {"total": 28_630, "trainable": 28_630}
    assert summary["regularized"]["weights"] == ["hidden.weight"]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert summary["regularized"]["norm"] == pytest.approx(float(last["net.hidden.weight"].norm()), rel=1e-6)
    assert summary["choices"]["reg"] == "l2"
    assert summary["epochs"] == 2
    final = summary["final"]
    for stage in ("train", "val", "test"):
        assert final[f"{stage}/loss"] == pytest.approx(
            final[f"{stage}/task_loss"] + final[f"{stage}/penalty"], rel=1e-5
        )
        assert 0 <= final[f"{stage}/accuracy"] <= 1
    assert summary["best"]["val/accuracy"] >= final["val/accuracy"]
    assert 0 <= summary["best"]["test/accuracy"] <= 1

    for name in ("best", "last"):
        checkpoint = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert "net.hidden.weight" in checkpoint["state_dict"]

    receipt = (folder / "receipt.txt").read_text()
    assert receipt in result.out
    for part in ("28,630 parameters", "28,224", "hidden.weight", "head.weight", "of the loss", "MaxNorm"):
        assert part in receipt
    assert "data=cifar10" in result.out


def test_the_best_epoch_is_tested_with_its_own_weights(train: CommandLine):
    # A learning rate this high forgets what the first epoch learned.
    folder = train("optimizer=sgd", "optimizer.lr=3000", "trainer.max_epochs=6", "trainer.limit_train_batches=1").folder
    summary = json.loads((folder / "summary.json").read_text())
    best, final = summary["best"], summary["final"]
    assert best["epoch"] < 6
    assert best["test/task_loss"] != final["test/task_loss"]
    weights = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert weights["epoch"] + 1 == best["epoch"]


def test_a_best_checkpoint_between_epochs_is_reported_with_step_and_score(train: CommandLine):
    arguments = ("trainer.val_check_interval=2", "trainer.max_epochs=1", "optimizer=sgd", "optimizer.lr=3000")
    folder = train(*arguments, "trainer.limit_train_batches=7", "seed=3").folder
    best = json.loads((folder / "summary.json").read_text())["best"]
    saved = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert (best["epoch"], best["step"]) == (saved["epoch"] + 1, saved["global_step"])
    assert best["step"] < 7
    scores = [
        callback["best_model_score"] for callback in saved["callbacks"].values() if "best_model_score" in callback
    ]
    assert best["val/accuracy"] in [float(score) for score in scores if score is not None]


def test_a_callbacks_mode_decides_what_is_best(train: CommandLine):
    folder = train("callbacks.best.monitor=val/loss", "callbacks.best.mode=min", "trainer.max_epochs=3").folder
    best = json.loads((folder / "summary.json").read_text())["best"]
    assert best["epoch"] == torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["epoch"] + 1


def test_an_experiment_may_choose_other_callbacks(train: CommandLine):
    # six_class gives the early stopping its patience; without that callback nobody reads it.
    result = train("callbacks=none", "+callbacks.stop.patience=3", "logger=none")
    assert (result.code, result.err) == (0, "")


def test_the_curves_fall_and_the_seed_repeats_them(train: CommandLine):
    first = train("reg=l2", "reg.lam=1e-4", "optimizer.lr=0.01", "trainer.limit_train_batches=1.0", *BARE)
    second = train("reg=l2", "reg.lam=1e-4", "optimizer.lr=0.01", "trainer.limit_train_batches=1.0", *BARE)
    assert first.folder != second.folder
    one, two = (json.loads((r.folder / "summary.json").read_text())["final"] for r in (first, second))
    assert one == two
    assert one["val/accuracy"] > 0.8


def test_reg_none_and_dropout_say_that_lam_has_no_effect(train: CommandLine):
    assert "reg.lam=3 has no effect" in train("reg=none", "reg.lam=3", *BARE).out
    out = train("reg=dropout", "reg.rate=0.25", "reg.lam=3", *BARE).out
    assert "reg.lam=3 has no effect" in out
    assert "dropout rate 0.25 for dropout (was 0.5)" in out


@pytest.mark.parametrize(("convention", "factor"), [("keras", 1.0), ("tf", 0.5), ("weight_decay", 0.5)])
def test_the_convention_converts_lam(train: CommandLine, convention: str, factor: float):
    def initial(*arguments: str) -> float:
        folder = train("reg=l2", *arguments, *BARE, "trainer.fast_dev_run=true").folder
        return json.loads((folder / "summary.json").read_text())["regularized"]["initial_penalty"]

    penalties = initial("reg.lam=0.2", f"reg.convention={convention}"), initial(f"reg.lam={0.2 * factor}")
    assert penalties[0] == pytest.approx(penalties[1])


def test_early_stopping_is_printed(train: CommandLine):
    result = train(
        "callbacks=early_stopping",
        "callbacks.stop.patience=2",
        "trainer.max_epochs=9",
        "optimizer=sgd",
        "optimizer.lr=0",
    )
    assert json.loads((result.folder / "summary.json").read_text())["epochs"] == 3
    assert "stopped early: val/loss has not improved for 2 epochs" in result.out


@pytest.mark.slow
def test_channels_last_trains_the_same_net(train: CommandLine):
    def trained(*arguments: str) -> tuple[dict[str, torch.Tensor], float]:
        folder = train(
            "model=cnn",
            "reg=l2",
            "constraint=max_norm",
            "trainer.precision=64-true",
            "trainer.max_epochs=1",
            *arguments,
        ).folder
        weights = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        return weights, json.loads((folder / "summary.json").read_text())["final"]["train/loss"]

    (weights, loss), (expected, expected_loss) = trained("channels_last=true"), trained()
    name = next(n for n in weights if n.endswith("weight") and weights[n].dim() == 4)
    assert weights[name].stride() != expected[name].stride()
    assert loss == pytest.approx(expected_loss, rel=1e-9)
    torch.testing.assert_close(weights, expected, rtol=1e-6, atol=1e-8, check_stride=False)


def test_a_sweep_may_share_a_convention_of_squares(train: CommandLine):
    result = train("-m", "reg=l1,l2", "reg.lam=1e-4", "reg.convention=tf", *BARE)
    assert result.code == 0
    assert "reg.convention=tf is one of Σw², and reg=l1 has none: its lam is unchanged" in result.out


def test_a_setting_that_is_given_twice_is_named(train: CommandLine):
    result = train("reg=l1", "++seed=3", "reg=l2", "seed=3", "--cfg", "job", fast=False)
    assert result.err == "note: reg is given twice; reg=l2 is used, reg=l1 is not\n"
    assert "_target_: regtorch.L2\n" in result.out


def test_the_rehearsal_does_not_act_in_the_training(train: CommandLine):
    """Its optimizer, which never steps, lives until garbage is collected."""
    gc.disable()
    try:
        words = ("reg=l1", "reg.proximal=true", "trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=8")
        result = train(*words, "constraint=max_norm", "optimizer=sgd", *BARE)
    finally:
        gc.enable()
    assert (result.code, result.err) == (0, "")


def test_a_used_folder_is_refused_and_left_as_it_is(train: CommandLine, tmp_path: Path):
    assert train("hydra.run.dir=here", *BARE).code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "here").rglob("*")}
    result = train("hydra.run.dir=here", "seed=1")
    assert result.code == 2
    assert "here" in result.error
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "here").rglob("*")} == before


def test_a_failing_job_does_not_end_the_sweep(train: CommandLine, tmp_path: Path):
    result = train("-m", "reg=l1,l2", "reg.lam=-1,1e-3", "trainer.max_epochs=1")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert len(result.err.strip().splitlines()) == 3  # each job, and all in the end
    (sweep,) = tmp_path.glob("sweeps/*")
    assert [(sweep / f"{i}" / "error.txt").exists() for i in range(4)] == [True, False, True, False]
    assert [(sweep / f"{i}" / "summary.json").exists() for i in range(4)] == [False, True, False, True]
    table = result.out[result.out.rindex("job ") :]
    for part in ("reg=l1", "reg=l2", "reg.lam=-1", "reg.lam=0.001", "received -1"):
        assert part in re.sub(r"\s+", " ", table)


def test_a_failing_job_in_a_nested_folder_is_reported(train: CommandLine):
    result = train("-m", "reg=l2", "reg.lam=-1,1e-3", "hydra.sweep.subdir=a/${hydra.job.num}", *FAST)
    assert result.code == 1


def test_a_sweep_without_failures_exits_with_0(train: CommandLine, tmp_path: Path):
    result = train("-m", "reg=none,dropout", "trainer.max_epochs=1")
    assert (result.code, result.err) == (0, "")
    assert len(list(tmp_path.glob("sweeps/*/*/summary.json"))) == 2


def test_a_wrong_option_in_a_sweep_is_reported_before_any_job(train: CommandLine, tmp_path: Path):
    result = train("-m", "reg=none,l3")
    assert result.code == 2
    assert "l3" in result.error
    assert not list(tmp_path.glob("sweeps/*/*/summary.json"))


def test_help_names_every_option(train: CommandLine):
    out = train("--help", fast=False).out
    for group in (path for path in (ROOT / "conf").iterdir() if path.is_dir()):
        for option in group.glob("*.yaml"):
            assert re.search(rf"^{group.name}: .*\b{option.stem}\b", out, re.MULTILINE)


@pytest.mark.parametrize("program", ["train", pytest.param("doctor", marks=pytest.mark.slow)])
def test_help_is_quick_as_nothing_heavy_is_imported(program: str):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "scripts" / f"{program}.py", "--help"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert not imported & set(HEAVY.split())


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (signal.SIGINT, "interrupted"),
        pytest.param(signal.SIGTERM, "ended by SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_a_run_cleanly(tmp_path: Path, asked: signal.Signals, text: str):
    process = subprocess.Popen(
        [sys.executable, ROOT / "scripts" / "train.py", *FAST[:2], "trainer.max_epochs=10000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As a terminal starts it: a test run in the background ignores Ctrl-C and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(asked)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 128 + asked
    assert "Traceback" not in err
    first, note, last = err.strip().splitlines()
    assert first == f"{text}: saving after the current step or validation; Ctrl-C ends at once"
    resume = f"resume with: python {ROOT}/scripts/train.py resume="
    assert re.fullmatch(rf"note: saved after step [\d,]+; {re.escape(resume)}\S+", note)
    assert last == f"error: {text}"
    (folder,) = tmp_path.glob("runs/*/*")
    assert (folder / "error.txt").read_text().splitlines()[0] == text
    assert not (folder / "summary.json").exists()
    assert "net.hidden.weight" in torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
