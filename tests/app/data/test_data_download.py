"""Downloads, from a server of the test's own; torchvision's real addresses are never asked."""

import hashlib
import os
import socket
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets

from data_files import snapshot, write_cifar_batches, write_mnist
from regtorch.app.data import CIFAR10, MNIST, ArraysDataModule, DataError, FashionMNIST

SETS = [MNIST, FashionMNIST, CIFAR10]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder behind a local address that stands for the data sets' official one, with the files' checksums."""
    folder = tmp_path / "served"
    raw = write_mnist(folder)
    contents = write_cifar_batches(folder)
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as tar:
        tar.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in raw.iterdir()}
    for kind in (datasets.MNIST, datasets.FashionMNIST):
        monkeypatch.setattr(kind, "mirrors", [f"{address}/MNIST/raw/"])
        monkeypatch.setattr(kind, "resources", list(sums.items()))
    batches = {name: hashlib.md5(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/cifar.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5((folder / "cifar.tar.gz").read_bytes()).hexdigest())
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, s] for n, s in batches.items() if n.startswith("data")])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", batches["test_batch"]]])
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", batches["batches.meta"])
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def loaded(kind: type[ArraysDataModule], root: Path) -> ArraysDataModule:
    module = kind(str(root), val_size=10) if issubclass(kind, MNIST) else kind(str(root))
    module.prepare_data()
    module.setup()
    return module


@pytest.mark.parametrize("kind", SETS)
def test_absent_data_is_downloaded_once(served: Path, tmp_path: Path, kind: type[ArraysDataModule]) -> None:
    root = tmp_path / "new" / "data"
    assert len(loaded(kind, root).splits.val) == 10
    before = snapshot(root)
    assert not [name for name in before if name.endswith(".gz") or "download" in name]
    loaded(kind, root)
    assert snapshot(root) == before


@pytest.mark.parametrize("kind", SETS)
def test_without_a_network_the_error_is_complete_and_no_file_is_left(
    offline: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: type[ArraysDataModule]
) -> None:
    root = tmp_path / "new" / "data"
    with pytest.raises(DataError) as error:
        loaded(kind, root)
    first, second = str(error.value).splitlines()
    assert first.startswith(f"{kind.title} not found: {root}/")
    assert " lacks " in first
    assert first.endswith("; the download failed (Name or service not known).")
    assert second == "Set data.dir=... to the folder that holds it, or use data=digits, which needs no network."
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", SETS)
def test_a_broken_download_leaves_no_data(served: Path, tmp_path: Path, kind: type[ArraysDataModule]) -> None:
    for packed in (served / "cifar.tar.gz", served / "MNIST/raw/t10k-images-idx3-ubyte.gz"):
        packed.write_bytes(packed.read_bytes()[:-100])
    root = tmp_path / "data"
    root.mkdir()
    with pytest.raises(DataError, match="the download failed"):
        loaded(kind, root)
    assert list(root.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: MNIST, root: str) -> None:
        (Path(root) / "MNIST").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(MNIST, "fetch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MNIST(str(tmp_path / "new")).prepare_data()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SETS)
def test_without_download_nothing_is_fetched(served: Path, tmp_path: Path, kind: type[ArraysDataModule]) -> None:
    module = kind(str(tmp_path / "data"), download=False)
    module.prepare_data()
    with pytest.raises(DataError, match=r"; download is off\."):
        module.setup()
    assert not (tmp_path / "data").exists()


def test_setup_alone_does_not_download(served: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"; call prepare_data\(\) to download it.\n"):
        MNIST(str(tmp_path / "data")).setup()


@pytest.mark.parametrize("below", ["", "new/data"])
def test_a_read_only_folder_is_not_changed(served: Path, tmp_path: Path, below: str) -> None:
    folder = tmp_path / "marked"
    folder.mkdir()
    folder.chmod(0o555)
    before = snapshot(folder)
    with pytest.raises(DataError, match=rf"the download failed \({folder} is read-only\)"):
        loaded(MNIST, folder / below)
    assert snapshot(folder) == before


def test_the_timeout_ends_with_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float | None] = []

    def fail(self: MNIST, root: str) -> None:
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(MNIST, "fetch", fail)
    with pytest.raises(DataError, match=r"the download failed \(timed out\)"):
        loaded(MNIST, tmp_path)
    assert seen[0] is not None
    assert seen[0] <= 30
    assert socket.getdefaulttimeout() is None
    assert os.listdir(tmp_path) == []
