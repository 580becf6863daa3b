"""The members of a path."""

import pytest

from path_runs import composed
from regtorch.app.ground.errors import RunError
from regtorch.app.path.members import members_of
from regtorch.app.path.seed_groups import command_of


def test_members_are_every_combination():
    cfg, _ = composed("path", "path.lams=[0,0.1]", "path.seeds=[0,1,2]", "path.rates=[0.5]", "out_dir=none")
    members = members_of(cfg)
    assert [m.number for m in members] == list(range(6))
    assert [m.values["lam"] for m in members] == [0.0, 0.0, 0.0, 0.1, 0.1, 0.1]
    assert members[4].overrides == ["reg.lam=0.1", "reg.rate=0.5", "seed=1"]
    assert members[4].label == "lam=0.1 rate=0.5 seed=1"


def test_nothing_to_vary_is_refused():
    cfg, _ = composed("path", "out_dir=none")
    with pytest.raises(RunError, match=r"path.lams=log:1e-6:1:32"):
        members_of(cfg)


def test_a_members_command_omits_the_paths_settings():
    cfg, _ = composed("path", "path.lams=[0.1]", "path.seeds=[3]", "out_dir=none")
    given = ["model=mnist_mlp", "reg.lam=5", "seed=1", "path.lams=[0.1]", "data.dir=a b"]
    expected = "python scripts/train.py model=mnist_mlp 'data.dir=a b' reg.lam=0.1 seed=3"
    assert command_of(members_of(cfg)[0], given) == expected
