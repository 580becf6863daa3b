"""Photos of phones are stored as the sensor lay, and say by EXIF how to turn them: one's own are turned upright."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from command_line import CommandLine
from image_files import write, write_zip
from regtorch.app.data import ImageFolders, image_looks
from regtorch.app.data.decode import decode, header
from regtorch.app.data.image_looks import looks
from regtorch.app.record.later_settings import completed, lacking

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)


def photo(orientation: int | None, form: str = "PNG", pixels: np.ndarray = PIXELS) -> bytes:
    image, file = Image.fromarray(pixels), io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image.save(file, form, exif=exif, **({"lossless": True} if form == "WEBP" else {}))
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_all_orientations_are_turned_as_pillow_does(orientation: int | None, form: str, tmp_path: Path):
    content = photo(orientation, form)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(decode(content, upright=True), expected)
    (tmp_path / "x").write_bytes(content)
    found = header(tmp_path / "x", upright=True)
    assert found is not None
    assert (found.height, found.width) == expected.shape[:2]
    if form != "TIFF":  # which Pillow turns
        assert found.turned == (orientation in range(2, 9))
        with Image.open(io.BytesIO(content)) as image:
            assert np.array_equal(decode(content), np.asarray(image.convert("RGB")))  # as Keras


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_unknown_orientation_turns_nothing(orientation: int):
    assert np.array_equal(decode(photo(orientation), upright=True), PIXELS)


def test_damaged_exif_turns_nothing():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    with pytest.warns(UserWarning, match="Corrupt EXIF"):  # Pillow's own
        assert decode(file.getvalue(), upright=True).shape == (4, 6, 3)
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=b"Exif\0\0not TIFF at all")
    assert decode(file.getvalue(), upright=True).shape == (4, 6, 3)


def test_the_least_size_is_that_of_the_upright_photo():
    assert decode(photo(6), min_size=(6, 4), upright=True).shape == (6, 4, 3)
    with pytest.raises(ValueError, match="it has 6×4 pixels"):
        decode(photo(6), min_size=(4, 6), upright=True)


def test_a_folder_of_ones_own_photos_is_upright(train: CommandLine):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    files = {f"{name}/{number}.png": photo(6, pixels=pixels) for name in "ab" for number in range(8)}
    write(train.folder / "photos", files)
    one = ("trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none", "reg=none")
    done = train("data=folder", "data.dir=photos", *one, fast=False)
    assert (done.code, done.err) == (0, "")
    assert "16 images read at 16×12 in colour (as they are, turned upright as EXIF says)" in done.out
    done = train("data=folder", "data.dir=photos", "data.upright=false", *one, fast=False)
    assert "16 images read at 12×16 in colour (as they are)" in done.out


def test_keras_and_the_documents_leave_photos_as_they_are(tmp_path: Path):
    place = write(tmp_path, {f"{name}/{number}.png": photo(6) for name in "ab" for number in range(8)})
    module = ImageFolders(str(place), size=None)
    module.setup()
    assert module.input_shape == (3, 4, 6)
    assert np.array_equal(module.splits.train.images[0].permute(1, 2, 0).numpy(), PIXELS)


@pytest.mark.parametrize("zipped", [False, True])
def test_headers_are_read_once(zipped: bool, train: CommandLine, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []

    def counted(file: image_looks.File, **options: bool) -> object:
        read.append(str(file))
        return header(file, **options)

    monkeypatch.setattr(image_looks, "header", counted)
    files = {f"{name}/{number}.png": photo(None) for name in "ab" for number in range(8)}
    write_zip(train.folder / "photos.zip", files) if zipped else write(train.folder / "photos", files)
    one = ("trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none", "reg=none")
    done = train("data=folder", f"data.dir=photos{'.zip' * zipped}", *one, fast=False)
    assert done.code == 0
    assert len(read) == len({*read}) == 16


def test_changed_images_are_looked_at_again(tmp_path: Path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        file.write_bytes(photo(None))
    assert looks(files)[1:3] == (4, 6)
    for file in files:
        file.write_bytes(photo(None, pixels=PIXELS[:3, :2]))
    assert looks(files)[1:3] == (3, 2)
    (tmp_path / "c.png").symlink_to("nowhere")
    assert looks([*files, tmp_path / "c.png"])[1:3] == (3, 2)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


def test_runs_that_began_without_the_setting_go_on_without_turning():
    data = {"_target_": "regtorch.data.CatsDogs", "interpolation": "nearest", "min_size": None, "on_error": "stop"}
    old = {"settle_batch_norm": "auto", "data": data}
    assert completed(old)["data"]["upright"] is False
    assert lacking(old) == ["++data.upright=false"]  # also where a config of one's own lacks the key
    assert lacking({**old, "data": {**data, "_target_": "my.Folders"}}) == []
    assert lacking(completed(old)) == []
    assert completed({"data": {"dir": "data"}})["data"] == {"dir": "data"}
    assert lacking({"settle_batch_norm": "auto", "data": None}) == []


def test_an_earlier_run_is_repeated_without_turning(train: CommandLine):
    write(train.folder / "photos", {f"{name}/{number}.png": photo(6) for name in "ab" for number in range(8)})
    one = ("trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none", "reg=none", "hydra.run.dir=old")
    assert train("data=folder", "data.dir=photos", "data.upright=false", *one, fast=False).code == 0
    for name, text in (("summary.json", '"upright": false,'), (".hydra/config.yaml", "  upright: false\n")):
        kept = (train.folder / "old" / name).read_text()
        assert text in kept
        (train.folder / "old" / name).write_text(kept.replace(text, ""))
    for name in ("overrides", "hydra"):
        path = train.folder / "old" / ".hydra" / f"{name}.yaml"
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "data.upright" not in line))
    done = train("rerun=old", fast=False)
    assert (done.code, "the same to the bit" in done.out) == (0, True), done.out + done.err
    assert "turned upright" not in done.out
