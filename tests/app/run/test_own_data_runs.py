"""`data=folder` and `data=csv` from the command line: what a newcomer types, and what every record of it says."""

import json
from pathlib import Path

import pytest

from command_line import ROOT, CommandLine
from image_files import tree, write, write_zip
from regtorch.app.config.compose import composed
from regtorch.app.doctor.main import main as doctor
from regtorch.app.path.main import main as path

pytestmark = pytest.mark.script

QUICK = ("trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none")
TABLE = "size,colour,kind,price\n" + "".join(f"{n % 7},{'ab'[n % 2]},{n % 3},{n * 1.5}\n" for n in range(60))


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    write(tmp_path / "photos", tree({"my cats": 8, "Hünde": 8, "birds": 8}))
    (tmp_path / "table.csv").write_text(TABLE)
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_a_folder_needs_nothing_but_its_name(train: CommandLine) -> None:
    result = train("data=folder", "data.dir=photos", *QUICK, fast=False)
    assert (result.code, result.err) == (0, "")
    assert "classes Hünde, birds, my cats; 24 images read at 12×9 in colour" in result.out
    assert result.out.count("net: model=convnet, which fits samples of any size (here 3×12×9)") == 1
    assert result.folder.parent.name == "convnet-none"
    record = json.loads((result.folder / "summary.json").read_text())
    assert record["config"]["data"]["num_classes"] == 3
    assert record["config"]["model"]["input_shape"] == [3, 12, 9]
    assert record["config"]["model"]["net"]["num_classes"] == 3
    assert record["choices"]["model"] == "convnet"


@pytest.mark.parametrize(
    ("target", "outputs", "score"), [("kind", 3, "accuracy"), ("price", 1, "r2"), ("colour", 2, "accuracy")]
)
def test_a_table_needs_its_name_and_its_target(train: CommandLine, target: str, outputs: int, score: str) -> None:
    result = train("data=csv", "data.file=table.csv", f"data.target={target}", *QUICK, fast=False)
    assert (result.code, result.err) == (0, "")
    assert "net: model=mlp, which fits samples of any size" in result.out
    record = json.loads((result.folder / "summary.json").read_text())
    assert record["config"]["model"]["net"]["outputs"] == outputs
    assert f"val/{score}" in record["final"]


@pytest.mark.parametrize(
    ("overrides", "model", "shape"),
    [
        (("data=folder", "data.dir=photos"), "convnet", [3, 12, 9]),
        (("data=folder", "data.dir=photos", "data.size=20"), "convnet", [3, 20, 20]),
        (("data=folder", "data.dir=photos", "data.size=[20,30]"), "convnet", [3, 20, 30]),
        (("data=folder", "data.dir=photos", "data.resize=[1,8,8]"), "convnet", [1, 8, 8]),
        (("data=folder", "data.dir=photos", "model=cnn"), "cnn", [3, 32, 32]),
        (("model=cnn", "data=folder", "data.dir=photos"), "cnn", [3, 32, 32]),
        (("data=folder", "data.dir=photos", "model=mlp"), "mlp", [3, 12, 9]),
        (("data=csv", "data.file=table.csv", "data.target=kind"), "mlp", [4]),
        (("data=csv", "data.file=table.csv", "data.target=kind", "data.ignore=[colour]"), "mlp", [2]),
        (("model=convnet",), "convnet", [3, 32, 32]),
        (("model=mlp",), "mlp", [1, 28, 28]),
        (("model=convnet", "data=rps"), "convnet", [3, 224, 224]),
    ],
)
def test_nets_follow_data_unless_they_have_a_shape_of_their_own(
    train: CommandLine, overrides: tuple[str, ...], model: str, shape: list[int]
) -> None:
    cfg, choices = composed(ROOT / "conf", [*overrides, "out_dir=."])
    assert (choices["model"], cfg.model.input_shape) == (model, shape)
    assert cfg.data.get("resize") in (None, shape)


def test_a_named_net_is_taken_without_a_word(train: CommandLine) -> None:
    result = train("data=folder", "data.dir=photos", "model=cnn", *QUICK, fast=False)
    assert (result.code, result.err) == (0, "")
    assert "net: " not in result.out
    assert "24 images read at 32×32, as the net takes them" in result.out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=folder"], "error: data.dir: expected a value, received none; give data.dir=photos"),
        (
            ["data=csv", "data.target=kind"],
            "error: data.file: expected a value, received none; give data.file=table.csv",
        ),
        (
            ["data=csv", "data.file=table.csv"],
            "error: data.target: expected a value, received none; give data.target=COLUMN",
        ),
        (
            ["data=csv", "data.file=no.csv", "data.target=kind"],
            "no.csv is not there; name your table with data.file=table.csv.",
        ),
        (["data=folder", "data.dir=none"], "there is no {place}/none; data.dir must name a folder or a .zip."),
        (["data=folder", "data.dir=photos/birds"], "no images in class folders; expected CLASS/*.jpg"),
        (
            ["data=folder", "data.dir=photos", "data.num_classes=2"],
            "found 3 classes (Hünde, birds, my cats), num_classes is 2",
        ),
        (["data=csv", "data.file=table.csv", "data.target=kin"], "data.target: expected a column's name"),
        (["data=csv", "data.file=table.csv", "data.target=kind", "model=cnn"], "the data has samples of shape [4]"),
    ],
)
def test_what_is_missing_is_said_in_a_line(train: CommandLine, overrides: list[str], message: str) -> None:
    result = train(*overrides, *QUICK, fast=False)
    assert result.code == 2
    assert message.format(place=train.folder) in result.error
    assert "interpolation" not in result.err


@pytest.mark.parametrize(
    "data", [("data=folder", "data.dir=photos"), ("data=csv", "data.file=table.csv", "data.target=price")]
)
def test_sweeps_continue_paths_and_the_doctor(
    train: CommandLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], data: tuple[str, ...]
) -> None:
    swept = train("-m", *data, "reg=l2", "reg.lam=0,0.01", "hydra.sweep.dir=sweep", *QUICK, fast=False)
    assert (swept.code, swept.err) == (0, "")
    again = train("-m", *data, "reg=l2", "reg.lam=0,0.01,0.1", "hydra.sweep.dir=sweep", *QUICK, fast=False)
    assert again.code == 0
    assert len([*(train.folder / "sweep").glob("*/summary.json")]) == 3
    stacked = CommandLine(train.folder, monkeypatch, capfd, path, "paths")
    found = stacked(*data, "reg=l2", "path.lams=[0,0.01]", *QUICK, fast=False)
    assert (found.code, found.err) == (0, "")
    examined = CommandLine(train.folder, monkeypatch, capfd, doctor, "checkups")
    found = examined(*data, "reg=l2", "reg.lam=100", *QUICK, fast=False)
    assert (found.code, found.err) == (3, "")


def test_a_zip_trains_as_its_folder_does(train: CommandLine) -> None:
    write_zip(train.folder / "photos.zip", tree({"my cats": 8, "Hünde": 8, "birds": 8}))
    one = train("data=folder", "data.dir=photos", *QUICK, fast=False)
    other = train("data=folder", "data.dir=photos.zip", *QUICK, fast=False)
    assert (one.code, other.code) == (0, 0), one.err + other.err
    checksums = [json.loads((r.folder / "summary.json").read_text())["provenance"]["weights"] for r in (one, other)]
    assert checksums[0] == checksums[1]
