"""Sentences as bags of words."""

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from data_files import SHARED_DATA, snapshot
from regtorch.app.data import DataError, Sentiment
from regtorch.app.data.bag_of_words import present, vocabulary, words


class Small(Sentiment):
    lines = 40


def sentences(kind: str, count: int = 40) -> bytes:
    text = "".join(f"the caf\u00e9 was {kind} , no\x85. {number} \n" for number in range(count))
    return text.replace("\x85", "\u2026").encode("cp1252")


def write(root: Path, **changes: bytes) -> Path:
    folder = root / "rt-polarity"
    folder.mkdir(parents=True)
    for name, kind in (("neg", "bad"), ("pos", "good")):
        (folder / f"rt-polarity.{name}").write_bytes(changes.get(name, sentences(kind)))
    return folder


def loaded(root: Path, kind: type[Sentiment] = Small, **options: Any) -> Sentiment:
    module = kind(str(root), **options)
    module.prepare_data()
    module.setup()
    return module


def test_words_are_numbered_by_frequency_then_by_position() -> None:
    assert words("Don't-stop, (NOW)\tnow!") == ["don't", "stop", "now", "now"]
    numbers = vocabulary(["b a", "c b", "d c b"], max_words=4)
    assert numbers == {"b": 1, "c": 2, "a": 3}
    bags = present(["d a b b", "", "z"], numbers, 4)
    assert bags.tolist() == [[False, True, False, True], [False] * 4, [False] * 4]


def test_parts_have_equal_classes_and_bool_inputs(tmp_path: Path) -> None:
    write(tmp_path)
    module = loaded(tmp_path, max_words=20)
    assert [torch.bincount(part.labels).tolist() for part in module.splits] == [[32, 32], [4, 4], [4, 4]]
    assert module.input_shape == (20,)
    assert module.splits.train.images.dtype == torch.bool
    inputs, labels = next(iter(module.val_dataloader()))
    assert inputs.dtype == torch.float32
    assert set(inputs.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(inputs[:, 0], torch.zeros(8))
    # "the", "café", "was" and "no…" are in all, and one of the next two words tells the class.
    assert torch.equal(inputs[:, 1:5], torch.ones(8, 4))
    assert torch.equal(inputs[:, 5] + inputs[:, 6], torch.ones(8))
    assert labels.unique().tolist() == [0, 1]


def test_only_words_of_the_training_part_are_counted(tmp_path: Path) -> None:
    write(tmp_path)
    module = loaded(tmp_path, max_words=500)
    train, val, test = (part.images.any(0) for part in module.splits)
    assert not (val & ~train).any()
    assert not (test & ~train).any()
    assert int(train.sum()) < 4 + 2 + 40  # numbers that only the other parts have are unknown


def test_unofficial_files_are_in_the_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    sums = {f"rt-polarity.{n}": hashlib.sha256(sentences(k)).hexdigest() for n, k in (("neg", "bad"), ("pos", "good"))}
    monkeypatch.setattr("regtorch.app.data.sentiment._FILES", sums)
    assert loaded(tmp_path).remark == ""
    (tmp_path / "rt-polarity/rt-polarity.pos").write_bytes(sentences("good").decode("cp1252").encode())
    assert loaded(tmp_path).remark == "movie-review sentences: not the official files: rt-polarity.pos"


def test_the_split_is_the_same_for_every_seed(tmp_path: Path) -> None:
    write(tmp_path)
    one, other = (loaded(tmp_path, seed=seed, max_words=50).splits for seed in (1, 2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "content",
    [
        sentences("good", 39),
        sentences("good")[:-20],
        b"",
        sentences("good", 39) + b"\x81\n",
        b"\xef\xbb\xbf" + sentences("good"),
        sentences("good").decode("cp1252").encode("utf-16"),
        sentences("good", 39) + b" \n",
    ],
    ids=["line less", "cut", "empty", "undecodable", "byte-order mark", "UTF-16", "empty sentence"],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path, pos=content)
    with pytest.raises(DataError, match=rf"^{folder}/rt-polarity\.pos is damaged or truncated \("):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("max_words", 1, "movie-review sentences: max_words must be a whole number of at least 2, received 1"),
        ("val_share", 1.5, "movie-review sentences: val_share must be a number above 0 and below 1, received 1.5"),
        ("num_classes", 3, "num_classes: movie-review sentences has 2 classes, received 3"),
    ],
)
def test_wrong_options_are_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=option) as error:
        Sentiment(**{option: value})
    assert str(error.value) == message


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An archive in the authors' form that stands for theirs."""
    folder = write(tmp_path / "source")
    (folder / "README").write_text("to be left out")
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        tar.add(folder, "rt-polaritydata")
    content = file.getvalue()
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(content))
    monkeypatch.setattr("regtorch.app.data.sentiment._SHA256", hashlib.sha256(content).hexdigest())
    return content


def test_the_archive_is_downloaded_once(served: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    assert len(loaded(root, max_words=9).splits.train) == 64
    before = snapshot(root)
    assert sorted(before) == [".", "rt-polarity", "rt-polarity/rt-polarity.neg", "rt-polarity/rt-polarity.pos"]
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: pytest.fail("asked again"))
    loaded(root)
    assert snapshot(root) == before


def test_an_unofficial_archive_is_refused(served: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda url: io.BytesIO(served[:-1]))
    with pytest.raises(
        DataError,
        match=r"the download failed \(.*expected the official file's SHA-256, [0-9a-f]{64}, received [0-9a-f]{64}\)",
    ):
        loaded(tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(not (SHARED_DATA / "rt-polarity").is_dir(), reason="needs the real sentences in ../shared/data")
def test_the_real_sentences() -> None:
    before = snapshot(SHARED_DATA)
    module = loaded(SHARED_DATA, Sentiment)
    assert module.remark == ""
    counts = torch.stack([torch.bincount(part.labels) for part in module.splits])
    assert counts.sum(0).tolist() == [5_331, 5_331]
    assert counts.tolist() == [[4265, 4265], [533, 533], [533, 533]]
    train = module.splits.train.images
    assert train.shape == (8530, 10_000)
    assert not train[:, 0].any()
    frequent = train.sum(0)
    assert train[:, 1:].any(0).all()
    assert int(frequent[1:11].sum()) > int(frequent[-1000:].sum())
    assert snapshot(SHARED_DATA) == before
