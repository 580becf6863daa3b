"""Saves on disk: the last two are kept, a broken one is never used, and a full disk stops nothing."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from regtorch.app.run.saves.store import Save, Store

ABOUT: dict[str, Any] = {"epoch": 1, "seconds": 2.5, "settings": {"seed": 0}}


def write(store: Store, step: int) -> Save:
    beside = store.run / "checkpoints" / "best.ckpt"
    beside.parent.mkdir(exist_ok=True)
    torch.save({"best of step": step}, beside)
    return store.write({"step": step, "weight": torch.full((3,), float(step))}, [beside], step=step, **ABOUT)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def newest(store: Store) -> Save:
    found = store.newest()
    assert found is not None
    return found


def test_the_last_two_are_kept(store: Store):
    assert store.newest() is None
    for step in (3, 5, 9):
        write(store, step)
    assert [path.name for path in sorted(store.folder.iterdir())] == ["save-000002", "save-000003"]
    save = newest(store)
    assert (save.step, save.epoch, save.seconds, save.settings) == (9, 1, 2.5, {"seed": 0})
    assert torch.load(save.state, weights_only=True)["step"] == 9
    assert save.beside == {"0-best.ckpt": "checkpoints/best.ckpt"}
    assert torch.load(save.folder / "0-best.ckpt", weights_only=True) == {"best of step": 9}
    store.remove()
    assert not store.folder.exists()


def damage(kind: str, folder: Path) -> None:
    state, manifest = folder / "state.ckpt", folder / "manifest.json"
    if kind == "flipped bit":
        content = bytearray(state.read_bytes())
        content[len(content) // 2] ^= 1
        state.write_bytes(bytes(content))
    elif kind == "cut":
        state.write_bytes(state.read_bytes()[:-7])
    elif kind == "missing state":
        state.unlink()
    elif kind == "missing manifest":
        manifest.unlink()
    elif kind == "no JSON":
        manifest.write_text("{")
    elif kind == "best replaced":
        (folder / "0-best.ckpt").write_bytes(b"another")
    else:
        known = json.loads(manifest.read_text())
        changes = {
            "newer": {"schema": 99},
            "a list": None,
            "text for a step": {"step": "9"},
            "place outside": {"beside": {"0-best.ckpt": "../../best.ckpt"}},
            "absolute place": {"beside": {"0-best.ckpt": "/tmp/best.ckpt"}},
            "name outside": {"sha256": {**known["sha256"], "../x": "0"}, "beside": {"../x": "x"}},
        }
        manifest.write_text(json.dumps([1] if kind == "a list" else {**known, **(changes[kind] or {})}))


@pytest.mark.parametrize(
    "kind",
    [
        *("flipped bit", "cut", "missing state", "missing manifest", "no JSON", "best replaced", "newer", "a list"),
        *("text for a step", "place outside", "absolute place", "name outside"),
    ],
)
def test_the_save_before_a_broken_one_is_used(kind: str, store: Store, capsys: pytest.CaptureFixture[str]):
    write(store, 3)
    damage(kind, write(store, 5).folder)
    assert newest(store).step == 3
    message = capsys.readouterr().err
    assert message.startswith("warning: ")
    assert "save-000002 is broken" in message
    assert len(message.splitlines()) == 1
    assert write(store, 5).folder.name == "save-000003"
    assert newest(store).step == 5


def test_all_are_named_if_all_are_broken(store: Store):
    for step in (3, 5):
        damage("cut", write(store, step).folder)
    with pytest.raises(ValueError, match="save-000002 is broken.*save-000001 is broken"):
        store.newest()


def test_a_failed_save_leaves_those_before(store: Store, monkeypatch: pytest.MonkeyPatch):
    write(store, 3)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write(store, 5)
    assert [path.name for path in store.folder.iterdir()] == ["save-000001"]
    assert newest(store).step == 3
