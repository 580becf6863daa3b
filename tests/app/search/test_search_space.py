"""What a search may be asked for, and how it says what it chose."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from command_line import ROOT
from regtorch.app.ground.errors import RunError
from regtorch.app.record.overrides import chosen
from regtorch.app.search.space import Choice, distributions, examples, read_space

NONE = {"lam": None, "select": None, "rate": None, "max_value": None, "also": None}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lam": "log:0:1"}, "search.lam: .*begins above 0"),
        ({"lam": "log:1:1e-3"}, "search.lam: .*LOW must be below HIGH"),
        ({"lam": "1e-3"}, "search.lam: expected log:LOW:HIGH, lin:LOW:HIGH or a list of choices, received '1e-3'"),
        ({"lam": "lin:0:inf"}, "be finite"),
        ({"lam": 0.1}, "search.lam: expected"),
        ({"lam": "lin:-1:1"}, "search.lam: expected numbers at least 0, received -1"),
        ({"lam": [0.1, -0.1]}, "search.lam: expected numbers at least 0, received -0.1"),
        ({"lam": [0.1, float("nan")]}, "search.lam: expected numbers at least 0, received nan"),
        ({"rate": "lin:0:2"}, "search.rate: expected numbers from 0 to 1, received 2"),
        ({"rate": [0.5, 1.5]}, "search.rate: expected numbers from 0 to 1, received 1.5"),
        ({"max_value": "lin:-2:2"}, "search.max_value: expected numbers at least 0, received -2"),
        ({"select": ["kernel"]}, "search.select: expected at least two different choices"),
        ({"select": ["kernel", "kernel"]}, "different choices"),
        ({"also": {"optimizer.lr": "log:a:b"}}, "search.also.optimizer.lr: expected"),
        ({"also": {"out_dir": ["a", "b"]}}, "search.also.out_dir: it has no effect on training"),
        ({"also": {"reg.rate": "lin:0:2"}}, "search.also.reg.rate: expected numbers from 0 to 1"),
        ({"also": "optimizer.lr"}, "search.also: expected ranges by key such as .*, received 'optimizer.lr'"),
        ({}, "search: expected a range, received none"),
    ],
)
def test_invalid_ranges(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_space(OmegaConf.create({**NONE, **given}))


def test_ranges() -> None:
    given = {"lam": "log:1e-6:1", "select": ["kernel", "all"], "rate": "lin:0:0.8", "also": {"optimizer.lr": [1, 2]}}
    made = distributions(read_space(OmegaConf.create({**NONE, **given})))
    assert set(made) == {"reg.lam", "reg.select", "reg.rate", "optimizer.lr"}
    assert chosen({"reg.lam": 0.00123456, "reg.select": "kernel", "reg.rate": 0.5, "a": None, "b": True}) == [
        "reg.lam=0.001235",
        "reg.select=kernel",
        "reg.rate=0.5",
        "a=null",
        "b=true",
    ]


def test_strings_are_passed_unchanged() -> None:
    choices = [
        *("kernel", "(kernel|bias) -norm", "name:[ab]*", "kernel & bias", "name:ä", "it's", "a,b", "null", "true"),
        *("1e-3", "x\\", "x\\'y", "", " a", "choice(a,b)", "{a: 1}", "[a]", "a=b", "#", 'q"r'),
    ]
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        words = chosen({f"reg.text_{at}": choice for at, choice in enumerate(choices)})
        cfg = compose("train", ["reg=l2", *(f"+{word}" for word in words)])
    assert [cfg.reg[f"text_{at}"] for at in range(len(choices))] == choices


def test_examples_have_every_string_one_number_and_two_of_a_range():
    space: dict[str, Choice] = {"reg": ["l1", "l2", "none"], "optimizer.lr": [1, 2, 3, 4], "reg.lam": "log:1e-6:1"}
    found = examples(space)
    assert [example["reg"] for example in found] == ["l1", "l2", "none"]
    assert {example["optimizer.lr"] for example in found} == {1}
    lowest, inside, again = (example["reg.lam"] for example in found)
    assert lowest == again == 1e-6 < inside < 1
