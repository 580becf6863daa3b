"""Every source of curves gives the same series; what cannot be read is told in one sentence."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import regtorch as rt
from regtorch.doctor.history.history import History

LOSS, VAL = [1.2345, 0.8, 0.5, 0.25], [1.1, 0.9, 0.7, 0.6]
ACC, VAL_ACC = [0.4, 0.6, 0.75, 0.85], [0.5, 0.55, 0.7, 0.75]
SERIES = {"loss": LOSS, "accuracy": ACC, "val_loss": VAL, "val_accuracy": VAL_ACC}
ROWS = [dict(zip(SERIES, values, strict=True)) for values in zip(*SERIES.values(), strict=True)]


def lines(form: str, *, header: str = "Epoch {n}/4\n") -> str:
    return "".join((header + form).format(n=n, **row) for n, row in enumerate(ROWS, 1))


def lightning() -> str:
    """Its CSVLogger writes rows of steps, of rates and of epochs."""
    text = "accuracy_epoch,epoch,lr-Adam,step,train_loss_epoch,train_loss_step,val_accuracy,val_loss\n"
    for n, row in enumerate(ROWS):
        text += f",,0.001,{3 * n},,,,\n,{n},,{3 * n + 1},,9.0,,\n,{n},,{3 * n + 2},,,{row['val_accuracy']},"
        text += f"{row['val_loss']}\n{row['accuracy']},{n},,{3 * n + 2},{row['loss']},,,\n"
    return text


def trainer_state() -> str:
    logs: list[dict[str, float]] = []
    for n, row in enumerate(ROWS, 1):
        for part, loss in ((0.5, row["loss"] + 0.1), (0.0, row["loss"] - 0.1)):
            logs.append(
                {"loss": loss, "accuracy": row["accuracy"], "learning_rate": 1e-4, "epoch": n - part, "step": n}
            )
        logs.append({"eval_loss": row["val_loss"], "eval_accuracy": row["val_accuracy"], "epoch": float(n), "step": n})
    logs.append({"train_loss": 0.7, "train_runtime": 3.0, "epoch": 4.0, "step": 4})
    return json.dumps({"log_history": logs, "best_metric": 0.75})


END = "loss: {loss} - accuracy: {accuracy} - val_loss: {val_loss} - val_accuracy: {val_accuracy}\n"
TEXTS: dict[str, Callable[[], str]] = {
    "keras.json": lambda: json.dumps(SERIES),
    "wrapped.json": lambda: json.dumps({"history": SERIES, "params": {}}),
    "rows.json": lambda: json.dumps(ROWS),
    "trainer_state.json": trainer_state,
    "csvlogger.csv": lambda: (
        "epoch,accuracy,loss,val_accuracy,val_loss\n"
        + "".join(f"{n},{r['accuracy']},{r['loss']},{r['val_accuracy']},{r['val_loss']}\n" for n, r in enumerate(ROWS))
    ),
    "semicolons.csv": lambda: (
        "epoch;train acc;Loss;val acc;val loss\n"
        + "".join(
            f"{n};{r['accuracy']};{r['loss']};{r['val_accuracy']};{r['val_loss']}\n" for n, r in enumerate(ROWS, 1)
        )
    ),
    "metrics.csv": lightning,
    "keras1.txt": lambda: "Train on 60 samples, validate on 20 samples\n" + lines("60/60 [=====] - 2s - " + END),
    "keras2.txt": lambda: lines("69/69 [==============================] - 229s 3s/step - " + END),
    "keras2_verbose2.txt": lambda: lines("391/391 - 1s - " + END + "\n"),
    "keras3.txt": lambda: lines(
        "\x1b[1m5/9\x1b[0m \x1b[32m━━━━\x1b[0m 5s 3ms/step - accuracy: 0.1 - loss: 9.0\r"
        "\x1b[1m9/9\x1b[0m ━━━━━━ 5s 3ms/step - accuracy: {accuracy} - loss: {loss} - val_accuracy: {val_accuracy}"
        " - val_loss: {val_loss} - learning_rate: 0.0010\nEpoch {n}: val_loss improved from inf to 0.1, saving model\n"
    ),
    "backspaces.txt": lambda: lines("1/9 [.] - ETA: 3s - loss: 7.0\x08\x08\x08\x08\x089/9 [=] - 2s - " + END),
    "no_headers.txt": lambda: lines("9/9 [=====] - 2s - " + END, header=""),
    "loop.txt": lambda: lines(
        "Epoch {n}: train loss={loss}, train acc={accuracy}, val loss={val_loss}, val acc={val_accuracy}\n", header=""
    ),
    "percent.txt": lambda: lines(
        "9/9 - loss: {loss} - acc: {accuracy:.1%} - val_loss: {val_loss} - val_acc: {val_accuracy:.1%}\n"
    ),
}
TEXTS |= {
    "markdown.txt": lambda: (
        "| epoch | loss | accuracy | val_loss | val_accuracy | time |\n|---|:---:|---|---|---|--:|\n"
        + "".join(f"| {n} | {' | '.join(map(str, r.values()))} | 00:12 |\n" for n, r in enumerate(ROWS, 1))
    ),
    "fastai.txt": lambda: (
        "epoch     train_loss  train_accuracy  valid_loss  valid_accuracy  time    \n"
        + "".join(f"{n}         {'  '.join(map(str, r.values()))}  00:02     \n" for n, r in enumerate(ROWS))
    ),
    "pandas.txt": lambda: (
        "   train_losses  train_accs  val_losses  val_accs\n"
        + "".join(f"{n}  {'  '.join(map(str, r.values()))}\n" for n, r in enumerate(ROWS))
    ),
    "huggingface4.txt": lambda: (
        "  0%|          | 0/12 [00:00<?, ?it/s]\n"
        + "\n".join(map(str, json.loads(trainer_state())["log_history"]))
        + "\n100%|██████████| 12/12 [00:09<00:00,  1.3it/s]\n"
    ),
    "huggingface5.txt": lambda: "\n".join(
        str({name: f"{value:.4g}" for name, value in row.items()}) for row in json.loads(trainer_state())["log_history"]
    ),
    "lines.json": lambda: "\n".join(json.dumps({"epoch": n, **row}) for n, row in enumerate(ROWS, 1)),
}
OBJECTS: dict[str, Any] = {
    "dict": SERIES,
    "Keras's History": SimpleNamespace(history=SERIES, epoch=[0, 1, 2, 3]),
    "rows": ROWS,
    "DataFrame": SimpleNamespace(columns=list(SERIES), to_dict=lambda _: ROWS),
    "Trainer": SimpleNamespace(state=SimpleNamespace(log_history=json.loads(trainer_state())["log_history"])),
    "tensors": {name: torch.tensor(values, dtype=torch.float64) for name, values in SERIES.items()},
    "percent": {**SERIES, "accuracy": [100 * a for a in ACC], "val_accuracy": [100 * a for a in VAL_ACC]},
}


def check(history: History) -> None:
    assert history.epochs == [1, 2, 3, 4]
    for stage, quantity, values in (
        *(("train", "loss", LOSS), ("train", "accuracy", ACC)),
        *(("val", "loss", VAL), ("val", "accuracy", VAL_ACC)),
    ):
        assert list(getattr(history, stage)[quantity].values()) == pytest.approx(values), (stage, quantity)


@pytest.mark.parametrize("name", TEXTS)
def test_files(name: str, tmp_path: Path):
    path = tmp_path / name
    path.write_text(TEXTS[name](), encoding="utf-8")
    found = rt.read_history(path)
    check(found.history)
    if name == "keras1.txt":
        assert found.history.val_samples == 20
    if name in ("metrics.csv", "keras3.txt"):
        assert list(found.history.lr.values()) == [0.001] * 4
    if name in ("metrics.csv", "trainer_state.json"):
        check(rt.read_history(tmp_path).history)  # the folder too
    if name.startswith("keras"):
        check(rt.read_history(TEXTS[name]()).history) if name.endswith("txt") else None


def test_an_accuracy_beside_two_losses_that_have_a_stage_is_validations():
    fastai = rt.read_history("epoch train_loss valid_loss accuracy\n0 1.9 2.1 0.31\n1 0.7 2.0 0.37\n").history
    assert list(fastai.val["accuracy"].values()) == [0.31, 0.37]
    assert "accuracy" not in fastai.train
    keras = rt.read_history({"loss": LOSS, "val_loss": VAL, "accuracy": ACC}).history
    assert list(keras.train["accuracy"].values()) == ACC


@pytest.mark.parametrize(
    "text", ["a table\nof losses\n", "loss accuracy\n0.1 high\n", "{'loss': [1, 2]}\n", "{'a': 1}"]
)
def test_text_that_is_no_table(text: str):
    with pytest.raises(ValueError, match="expected"):
        rt.read_history(text + "\n")


@pytest.mark.parametrize("name", OBJECTS)
def test_objects(name: str):
    check(rt.read_history(OBJECTS[name]).history)


@pytest.mark.parametrize("style", ["keras", "lightning"])
def test_event_files(style: str, tmp_path: Path):
    writer = pytest.importorskip("torch.utils.tensorboard")
    for stage, prefix in (("train", ""), ("validation", "val_")):
        with writer.SummaryWriter(str(tmp_path / stage if style == "keras" else tmp_path)) as file:
            for n, row in enumerate(ROWS):
                for name in ("loss", "accuracy"):
                    tag = f"epoch_{name}" if style == "keras" else f"{prefix or 'train_'}{name}"
                    file.add_scalar(tag, row[prefix + name], n if style == "keras" else 10 * n + 9)
                if style == "lightning":
                    file.add_scalar("epoch", n, 10 * n + 9)
    found = rt.read_history(tmp_path).history
    assert found.epochs == [1, 2, 3, 4]
    assert list(found.val["loss"].values()) == pytest.approx(VAL, rel=1e-6)
    assert list(found.train["accuracy"].values()) == pytest.approx(ACC, rel=1e-6)


def test_event_files_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorboard.backend.event_processing.event_file_loader", None)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"\0" * 40)
    with pytest.raises(ModuleNotFoundError, match=r"tensorboard is not installed; .*regtorch\[train\]"):
        rt.read_history(tmp_path)


def test_validation_in_every_second_epoch_and_long_histories():
    found = rt.read_history({"loss": [1.0, 0.8, 0.6, 0.5, 0.4], "val_loss": [0.9, 0.7]})
    assert found.history.val["loss"] == {2.0: 0.9, 4.0: 0.7}
    history = rt.read_history({"loss": [1.0 + 1 / n for n in range(1, 100_001)]}).history
    assert len(history.epochs) == 1000
    assert history.train["loss"][100.0] == pytest.approx(sum(1 + 1 / n for n in range(1, 101)) / 100)


BAD: dict[str, tuple[Any, str]] = {
    "empty": ({}, "expected lists"),
    "empty list": ([], "expected columns"),
    "no epochs": ({"loss": []}, "expected"),
    "no curves": ({"time": [1.0], "name": ["a"]}, "expected columns such as loss"),
    "lengths": ({"loss": [1.0, 2.0, 3.0], "accuracy": [0.1, 0.2]}, "'accuracy': expected 3 values"),
    "words": ({"loss": [1.0, "low"]}, "row 2, 'loss': expected a number, received 'low'"),
    "booleans": ({"loss": [True, False]}, "expected a number, received True"),
    "nested": ({"loss": [[1.0], [2.0]]}, "expected a number"),
    "a number": ({"loss": 1.0}, "'loss': expected a list of numbers"),
    "rows of lists": ([[1.0, 2.0]], "row 1: expected a mapping"),
    "back": ([{"epoch": e, "loss": 1.0} for e in (1, 2, 3, 2)], "must not go back, received 2 after 3 in row 4"),
    "no place": ([{"epoch": float("nan"), "loss": 1.0}], "expected a finite number"),
    "another type": (3, "source must be a run's folder"),
    "a net": (torch.nn.Linear(1, 1), "source must be"),
    "prose": ("It does not learn.\nWhy?", "expected a CSV file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_objects(name: str):
    source, message = BAD[name]
    with pytest.raises((TypeError, ValueError)) as error:
        rt.read_history(source)
    assert message in str(error.value)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("it was pickled or unpickled")


FILES: dict[str, tuple[bytes, str]] = {
    "history.pkl": (pickle.dumps({"loss": [1.0]}), "a pickle may run any code"),
    "history.json": (pickle.dumps({"loss": [1.0]}), "a pickle may run any code"),
    "history.npy": (b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}", "a pickle may run any code"),
    "empty.csv": (b" \n", "received nothing"),
    "image.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(128, 256)), "expected UTF-8 text"),
    "cut.json": (b'{"loss": [1.0, ', "expected JSON"),
    "deep.json": (b"[" * 100_000, "expected"),
    "wide.csv": (b"epoch,loss\n1,2,3\n", "line 2: expected 2 columns, received 3"),
    "events.out.tfevents.9": (b"no events at all", "expected"),
    "quotes.csv": (b'epoch,loss\n"1\x00,2\n', "expected"),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_files(name: str, tmp_path: Path):
    content, message = FILES[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=".") as error:
        rt.read_history(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_places_and_arguments(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*nothing\.csv'"):
        rt.read_history(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match=r"expected one of csv/metrics\.csv"):
        rt.read_history(tmp_path)
    for name, value in (("run", 0), ("classes", 1), ("val_samples", -3), ("classes", 2.5)):
        with pytest.raises(ValueError, match=f"read_history: {name} must be"):
            rt.read_history(SERIES, **{name: value})


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_histories_are_read_as_far_as_they_go(count: int):
    found = rt.read_history({name: values[:count] for name, values in SERIES.items()})
    assert "history_incomplete" in {f.cause for f in found}
    assert not [f for f in found if f.severity == "severe"]
    assert "history_incomplete" in {f.cause for f in rt.read_history({"loss": LOSS})}
