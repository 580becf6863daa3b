from itertools import pairwise

import pytest

from path_runs import composed
from regtorch.sweep.path.members import members_of
from regtorch.sweep.path.ranking import command
from regtorch.sweep.path.values import numbers, seeds
from regtorch.training.errors import RunError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("log:0.01:1:3", [0.01, 0.1, 1.0]),
        ("log:1:0.01:3", [1.0, 0.1, 0.01]),
        ("lin:0:0.5:3", [0.0, 0.25, 0.5]),
        ([0, 1e-4, "1e-3"], [0.0, 1e-4, 1e-3]),
        ([0, "log:0.1:1:2"], [0.0, 0.1, 1.0]),
        (0.5, [0.5]),
    ],
)
def test_lists_and_ranges_are_read(given: object, expected: list[float]):
    assert numbers("path.lams", given) == expected


def test_a_log_range_has_its_ends_and_equal_ratios():
    values = numbers("path.lams", "log:1e-6:1:32")
    assert (values[0], values[-1], len(values)) == (1e-6, 1.0, 32)
    ratios = [b / a for a, b in pairwise(values)]
    assert max(ratios) / min(ratios) < 1.0001


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "an empty list"),
        ([1e-3, 0.001], "0.001 more than once"),
        ("log:1:1:3", "1 more than once"),
        ([-1], "received -1.0"),
        ([float("nan")], "received nan"),
        ([float("inf")], "received inf"),
        ("log:0:1:3", "[0,log:1e-6:1:3]"),
        ("log:-1:1:3", "ends above 0"),
        ("log:1e-6:1", "FIRST:LAST:COUNT"),
        ("log:1e-6:1:x", "FIRST:LAST:COUNT"),
        ("lin:0:1:1", "a count from 2"),
        ("lin:0:inf:3", "finite ends"),
        ("strong", "received 'strong'"),
        ([True], "expected a list"),
        ([[1]], "expected a list"),
    ],
)
def test_what_is_no_list_of_strengths_is_refused(given: object, said: str):
    with pytest.raises(RunError, match="path.lams") as error:
        numbers("path.lams", given)
    assert said in str(error.value)
    assert len(str(error.value)) < 200


def test_bounds_and_whole_numbers():
    with pytest.raises(RunError, match="numbers from 0 to 1"):
        numbers("path.rates", [0.5, 1.5], most=1.0)
    assert seeds("path.seeds", "lin:0:4:5") == [0, 1, 2, 3, 4]
    with pytest.raises(RunError, match=r"whole numbers .* 0.5"):
        seeds("path.seeds", [0, 0.5])


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


def test_the_command_of_a_member_leaves_the_path_out():
    cfg, _ = composed("path", "path.lams=[0.1]", "path.seeds=[3]", "out_dir=none")
    given = ["model=mnist_mlp", "reg.lam=5", "seed=1", "path.lams=[0.1]", "data.dir=a b"]
    expected = "python scripts/train.py model=mnist_mlp 'data.dir=a b' reg.lam=0.1 seed=3"
    assert command(members_of(cfg)[0], given) == expected
