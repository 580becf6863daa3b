"""The record of a run: written, read, and refused where it is broken or newer."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from regtorch.app.ground.errors import RunError
from regtorch.app.record.json_file import NewerSchema
from regtorch.app.record.outputs import write_diagnosis
from regtorch.app.record.run_record import SCHEMA, MemberRecord, PathRecord, Regularized, RunRecord, error_line
from regtorch.app.record.same_settings import identity, known_in, same_run
from regtorch.app.record.search import SearchRecord
from regtorch.app.report.collect import collect
from report_runs import a_search

RUN = RunRecord(
    choices={"model": "cnn"},
    config={"reg": {"lam": 0.1, "rate": None, "penalty": {"_target_": "L2"}}, "seed": 3},
    parameters={"total": 10, "trainable": 9},
    regularized=Regularized(weights=["w"], parameters=4, zeros={"w": 0.5}, sparsity=0.5, norm=2.0),
    final={"val/accuracy": 0.5},
    best={"epoch": 2, "val/accuracy": 0.75, "checkpoint": "checkpoints/best.ckpt"},
    epochs=3,
    seconds=1.5,
    device="cpu",
    versions={"torch": "2.9"},
    own_configs=["hydra.searchpath=[file://x]"],
)
MEMBER = MemberRecord(
    member=1, values={"lam": 0.1, "seed": 0}, overrides=["reg.lam=0.1", "seed=0"], final={"val/accuracy": 0.5}, norm=2.0
)
PATH = RunRecord(
    final={}, own_configs=[], watched=["w"], path=PathRecord(best={"member": 1, "command": "train"}, members=[MEMBER])
)
KEYS = [
    "schema",
    "choices",
    "config",
    "parameters",
    "regularized",
    "final",
    "best",
    "epochs",
    "seconds",
    "device",
    "versions",
    "provenance",
    "own_configs",
]


def put(folder: Path, tree: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(tree))
    return folder


@pytest.mark.parametrize("record", [RUN, PATH])
def test_what_is_written_is_read(tmp_path: Path, record: RunRecord):
    record.write(tmp_path)
    assert RunRecord.read(tmp_path) == record


def test_the_file_has_the_keys_that_other_scripts_read(tmp_path: Path):
    RUN.write(tmp_path)
    tree = json.loads((tmp_path / "summary.json").read_text())
    assert list(tree) == KEYS
    assert (tree["schema"], tree["regularized"]["norm"], tree["config"]["seed"]) == (SCHEMA, 2.0, 3)
    PATH.write(tmp_path)
    tree = json.loads((tmp_path / "summary.json").read_text())
    assert set(tree) == {*KEYS, "path", "watched"} - {"regularized"}
    [member] = tree["path"]["members"]
    assert (member["member"], member["lam"], member["seed"], member["norm"]) == (1, 0.1, 0, 2.0)
    assert "values" not in member


def test_what_is_not_finite_becomes_null(tmp_path: Path):
    RunRecord(final={"val/loss": math.nan}).write(tmp_path)
    found = RunRecord.read(tmp_path)
    assert found is not None
    assert found.final == {"val/loss": None}


def test_an_older_record_has_no_schema_and_is_read(tmp_path: Path):
    found = RunRecord.read(put(tmp_path, {"final": {"val/accuracy": 0.5}}))
    assert found == RunRecord(schema=0, final={"val/accuracy": 0.5})
    assert RunRecord.read(tmp_path / "none") is None


def test_a_newer_one_is_refused_and_its_run_is_never_made_again(tmp_path: Path):
    folder = put(tmp_path / "run", {"schema": SCHEMA + 1, "final": {}, "config": {"a": 1}})
    with pytest.raises(NewerSchema, match=r"summary.json: a newer regtorch wrote it .*; install a newer regtorch"):
        RunRecord.read(folder)
    with pytest.raises(RunError, match="install a newer regtorch"):
        same_run(folder, OmegaConf.create({"a": 1}))
    with pytest.raises(RunError, match="install a newer regtorch"):
        known_in(tmp_path)


@pytest.mark.parametrize("name", ["summary.json", "search.json", "doctor.json"])
@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (2, r"{}: a newer regtorch wrote it \(schema 2, and this one reads up to 1\); install a newer regtorch"),
        (-1, r"{}: schema: expected a whole number from 0 to 1, received -1; the file is damaged"),
        (True, "{}: schema: expected .*, received True; the file is damaged: delete it, or run its command again"),
        (0.5, "{}: schema: expected .*, received 0.5"),
        ("1", "{}: schema: expected .*, received '1'"),
        (None, "{}: schema: expected .*, received None"),
    ],
)
def test_only_known_schemas_are_read(tmp_path: Path, name: str, schema: Any, said: str):
    """Whatever else there is: a newer record may have any form."""
    (tmp_path / name).write_text(json.dumps({"schema": schema}))
    (line,) = collect(tmp_path).unreadable
    assert re.match(said.format(name), line)


@pytest.mark.parametrize("name", ["summary.json", "search.json", "doctor.json"])
def test_every_record_has_a_schema_and_older_ones_have_none(tmp_path: Path, name: str):
    (tmp_path / "run").mkdir()
    RUN.write(tmp_path / "run")
    SearchRecord.read(a_search(tmp_path / "search", 0)).write(tmp_path / "search")
    write_diagnosis(tmp_path, [], [], 1.0, lambda finding: [], provenance={}, config={})
    (path,) = tmp_path.rglob(name)
    tree = json.loads(path.read_text())
    assert tree.pop("schema") == 1
    path.write_text(json.dumps(tree))
    assert [line for line in collect(tmp_path).unreadable if name in line] == []


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "expected the summary of a run"),
        ({}, "expected the summary of a run"),
        ({"final": {"val/loss": "x"}}, "expected the summary of a run"),
        ({"final": {"val/loss": True}}, "expected the summary of a run"),
        ({"final": {"val/loss": 10**400}}, "expected the summary of a run"),
        ({"final": {}, "schema": "new"}, "schema: expected a whole number from 0 to 1, received 'new'"),
        ({"final": {}, "best": {"val/loss": []}}, "best: expected numbers by name"),
        ({"final": {}, "choices": 5}, "choices: expected a mapping, received 5"),
        ({"final": {}, "device": 5}, "device: expected a text, received 5"),
        ({"final": {}, "own_configs": [5]}, "own_configs: expected a list of texts"),
        ({"final": {}, "regularized": {"norm": "x"}}, "regularized.norm: expected a number, received 'x'"),
        ({"final": {}, "path": {"members": [5]}}, "path.members: expected a list"),
        ({"final": {}, "path": {"members": [{"lam": 1}]}}, "path: expected members with their metrics"),
        ({"final": {}, "path": {"members": [{"member": 1, "overrides": [], "final": 5}]}}, "final: expected numbers"),
    ],
)
def test_a_broken_one_is_named_with_the_reason(tmp_path: Path, tree: Any, said: str):
    with pytest.raises(ValueError, match=r"summary.json: ") as error:
        RunRecord.read(put(tmp_path, tree))
    assert said in str(error.value)


def test_a_member_alone():
    assert PATH.alone(MEMBER).final == {"val/accuracy": 0.5}
    assert PATH.alone(MEMBER).regularized.norm == 2.0
    assert PATH.alone(MEMBER).path is None


def test_the_strengths_in_force():
    assert RUN.strengths() == {"reg.lam": 0.1}
    assert RUN.strengths({"reg.lam": 5.0, "constraint.max_value": 2}) == {"reg.lam": 5.0, "constraint.max_value": 2.0}
    config = {"reg": {"lam": 0.1, "rate": 0.5, "penalty": None}, "constraint": {"max_value": 3}}
    assert RunRecord(final={}, config=config).strengths() == {"reg.rate": 0.5}


def test_settings_are_found_by_their_keys():
    assert RUN.setting("reg.lam") == 0.1
    assert RUN.setting("reg.rate", "gone") is None
    assert RUN.setting("reg.lam.more", "gone") == "gone"


def test_identity_is_that_of_the_config(tmp_path: Path):
    put(tmp_path, {"final": {}, "config": {"a": 1}})
    assert same_run(tmp_path, OmegaConf.create({"a": 1})) is not None
    assert identity(OmegaConf.create({"a": 1})) != identity(OmegaConf.create({"a": 2}))


@pytest.mark.parametrize(("text", "line"), [("why\n\nTraceback", "why"), ("", "failed, with an empty error.txt")])
def test_why_a_run_failed(tmp_path: Path, text: str, line: str):
    (tmp_path / "error.txt").write_text(text)
    assert error_line(tmp_path / "error.txt") == line
