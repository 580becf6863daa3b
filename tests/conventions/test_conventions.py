from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import regtorch as rt
from regtorch.conventions import ALIASES, CONVENTIONS
from regtorch.conventions.__main__ import main

OPTIONS = {"batch": 32, "samples": 50_000, "lr": 0.1}
WITH_EQUAL = {name: convention for name, convention in CONVENTIONS.items() if not convention.alone}
NUMBERS = [name for name in WITH_EQUAL if name != "sklearn.ElasticNet"]
EQUAL = [(a, b) for a, b in product(NUMBERS, NUMBERS) if CONVENTIONS[a].kinds & CONVENTIONS[b].kinds]
WITHOUT_EQUAL = [
    (a, b) for a, b in product(CONVENTIONS, CONVENTIONS) if not CONVENTIONS[a].kinds & CONVENTIONS[b].kinds
]


@pytest.mark.parametrize(
    ("strength", "source", "target", "expected"),
    [
        (0.01, "keras", "weight_decay", 0.02),
        (0.01, "tf.nn.l2_loss", "keras", 0.005),
        (0.01, "weight_decay", "tf.nn.l2_loss", 0.01),
        (5.0, "nielsen", "weight_decay", 1e-4),
        (5.0, "nielsen", "sklearn.Ridge", 2.5),
        (1.0, "sklearn.Ridge", "keras", 2e-5),
        (0.1, "sklearn.Lasso", "keras", 0.2),
        ((0.1, 0.75), "sklearn.ElasticNet", "keras", (0.15, 0.025)),
        (0.1, "sklearn.ElasticNet", "keras", (0.1, 0.05)),
        ((0.15, 0.025), "keras", "sklearn.ElasticNet", (0.1, 0.75)),
        ((0.0, 0.0), "keras", "sklearn.ElasticNet", (0.0, 0.5)),
        (2.0, "sklearn.LogisticRegression", "weight_decay", 1e-5),
        (math.inf, "sklearn.LogisticRegression", "keras", 0.0),
        (0.0, "keras", "sklearn.LogisticRegression", math.inf),
        (1e-4, "sklearn.MLP", "weight_decay", 3.125e-6),
        (1e-4, "sgdw", "weight_decay", 1e-3),
        (5e-4, "darknet", "caffe", 5e-4),
        (0.01, "torch.AdamW", "optax.adamw", 0.01),
    ],
)  # fmt: skip
def test_known_numbers(strength: object, source: str, target: str, expected: object):
    assert rt.convert(strength, source, target, **OPTIONS) == pytest.approx(expected, rel=1e-15)


def test_the_contract_to_the_bit():
    assert rt.convert(0.01, "keras", "weight_decay") == 0.02


@given(s=st.floats(1e-150, 1e150), pair=st.sampled_from(EQUAL))
def test_there_and_back(s: float, pair: tuple[str, str]):
    source, target = pair
    back = rt.convert(rt.convert(s, source, target, **OPTIONS), target, source, **OPTIONS)
    assert back == pytest.approx(s, rel=3e-16)
    assert rt.convert(s, source, source) == s


def converted(strength: object, source: str, target: str) -> Any:
    """What `convert` returns, or its message."""
    try:
        return rt.convert(strength, source, target, **OPTIONS)
    except ValueError as error:
        return str(error)


def too_small(*exact: Fraction) -> bool:
    return any(0 < part < sys.float_info.min for part in exact)


@given(s=st.floats(0, 1e308), pair=st.sampled_from(EQUAL))
@example(s=5e-324, pair=("weight_decay", "keras"))
@example(s=1.5e-323, pair=("weight_decay", "keras"))
@example(s=1e308, pair=("keras", "sklearn.LogisticRegression"))
def test_at_the_edges_of_floats_it_is_right_or_refused(s: float, pair: tuple[str, str]):
    source, target = pair
    there = converted(s, source, target)
    if isinstance(there, str):
        assert re.match(r"convert: (the strength in .* (over|under)flows|strength must be above 0)", there)
        assert not 1e-290 < s < 1e290
    else:
        assert rt.convert(there, target, source, **OPTIONS) == pytest.approx(s, rel=3e-16, abs=0)


@given(alpha=st.floats(1e-100, 1e100), ratio=st.just(0.0) | st.floats(1e-100, 1))
@example(alpha=1.0, ratio=math.nextafter(1, 0))
def test_elastic_net_there_and_back(alpha: float, ratio: float):
    there = rt.convert((alpha, ratio), "sklearn.ElasticNet", "keras")
    assert rt.convert(there, "keras", "sklearn.ElasticNet") == pytest.approx((alpha, ratio), rel=1e-15, abs=0)


@given(alpha=st.floats(0, 1e308), ratio=st.floats(0, 1))
@example(alpha=1e-100, ratio=1e-300)
@example(alpha=0.3, ratio=2.5e-323)
@example(alpha=1.0, ratio=5e-324)
@example(alpha=5e-324, ratio=0.3)
def test_an_elastic_net_is_right_or_refused(alpha: float, ratio: float):
    there = converted((alpha, ratio), "sklearn.ElasticNet", "keras")
    exact = 2 * Fraction(alpha) * Fraction(ratio), Fraction(alpha) * (1 - Fraction(ratio))
    if isinstance(there, str):
        assert re.match("convert: l[12] in keras (over|under)flows", there)
        assert too_small(*exact) or max(exact) > 1e308
    else:
        assert all(abs(Fraction(n) - part) <= part / 2**53 for n, part in zip(there, exact, strict=True))


@given(l1=st.floats(0, 1e307), l2=st.floats(0, 1e307))
@example(l1=1.0, l2=1e-20)
@example(l1=1.0, l2=1e-16)
@example(l1=1e-320, l2=1.0)
@example(l1=1e-4, l2=3e303)
@example(l1=5e-324, l2=5e-324)
def test_an_elastic_net_keeps_both_parts_or_is_refused(l1: float, l2: float):
    pair = converted((l1, l2), "keras", "sklearn.ElasticNet")
    alpha = Fraction(l1) / 2 + Fraction(l2)
    if isinstance(pair, str):
        assert re.match(r"convert: (alpha|l1_ratio) in sklearn.ElasticNet (underflows|loses)", pair)
        assert l2 * 1e8 < l1 or too_small(alpha, Fraction(l1) / 2 / alpha)
    else:
        meant = 2 * Fraction(pair[0]) * Fraction(pair[1]), Fraction(pair[0]) * (1 - Fraction(pair[1]))
        assert all(abs(n - part) <= part / 10**6 for n, part in zip(meant, map(Fraction, (l1, l2)), strict=True))


@given(s=st.floats(1e-100, 1e100), source=st.sampled_from(NUMBERS), target=st.sampled_from(NUMBERS))
def test_a_way_through_keras_is_the_direct_way(s: float, source: str, target: str):
    if (source, target) in EQUAL:
        through = rt.convert(rt.convert(s, source, "keras", **OPTIONS), "keras", target, **OPTIONS)
        assert rt.convert(s, source, target, **OPTIONS) == pytest.approx(through, rel=1e-15)


@pytest.mark.parametrize("name", NUMBERS)
def test_the_formula_for_people_is_the_one_that_is_used(name: str):
    coefficient = WITH_EQUAL[name].formula.partition(" Σ")[0]
    code = coefficient.replace("½", "0.5").replace("·", "*").replace(" ", "*")
    assert rt.convert(0.3, name, "keras", **OPTIONS) == pytest.approx(eval(code, {"s": 0.3, **OPTIONS}), rel=1e-15)


def test_the_documentation_has_every_convention_with_its_formula():
    rows = re.findall(
        r"^    \| ([\w.]+)(?: \(.*?\))? \| (.*) \| in the (\w+) \|$", rt.convert.__doc__ or "", re.MULTILINE
    )
    assert rows == [(c.name, c.formula, c.place) for c in CONVENTIONS.values()]
    assert all(alias in (rt.convert.__doc__ or "") for alias in ALIASES)


def test_the_penalties_are_equal():
    w = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    beta = 0.3
    torch.testing.assert_close(rt.L2(rt.convert(beta, "tf.nn.l2_loss", "keras"))(w), beta * w.square().sum() / 2)
    rt.L2(rt.convert(beta, "weight_decay", "keras"))(w).backward()
    torch.testing.assert_close(w.grad, beta * w.detach())


@pytest.mark.parametrize(("source", "target"), WITHOUT_EQUAL)
def test_without_an_equal_it_says_why(source: str, target: str):
    strength = (0.1, 0.5) if source == "sklearn.ElasticNet" else 0.1
    with pytest.raises(ValueError, match=r"^convert: .*(not a penalty|no multiple)") as caught:
        rt.convert(strength, source, target, **OPTIONS)
    assert source in str(caught.value)
    assert target in str(caught.value)


@pytest.mark.parametrize(("source", "target"), EQUAL)
def test_clipping_parts_the_loss_from_the_optimizer(source: str, target: str):
    if CONVENTIONS[source].place == CONVENTIONS[target].place:
        assert rt.convert(1.0, source, target, clipping=True, **OPTIONS) == rt.convert(1.0, source, target, **OPTIONS)
    else:
        with pytest.raises(ValueError, match="no equivalent under clipping: a penalty in the loss is clipped"):
            rt.convert(1.0, source, target, clipping=True, **OPTIONS)


@pytest.mark.parametrize(("source", "target"), EQUAL)
def test_an_option_is_asked_for_only_where_it_counts(source: str, target: str):
    ends = CONVENTIONS[source].per, CONVENTIONS[target].per
    for option in OPTIONS:
        others = {name: value for name, value in OPTIONS.items() if name != option}
        if option in ends and ends[0] != ends[1]:
            with pytest.raises(ValueError, match=f"convert: {option} must be given: .*; .* divides by it"):
                rt.convert(1.0, source, target, **others)
        else:
            assert rt.convert(1.0, source, target, **others) == rt.convert(1.0, source, target, **OPTIONS)


ELASTIC, LOGISTIC = "sklearn.ElasticNet", "sklearn.LogisticRegression"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rt.convert(-1, "keras", "keras"), ValueError, "strength must be a finite number of at least 0"),
        (lambda: rt.convert("1", "keras", "keras"), TypeError, "strength must be .* received '1' of type str"),
        (lambda: rt.convert(1, "kerras", "keras"), ValueError, "source must be one of keras.* 'kerras'; .* 'keras'"),
        (lambda: rt.convert(1, "keras", "adamW"), ValueError, "target must be one of .*; did you mean 'adamw'"),
        (lambda: rt.convert(1, "keras", "dB"), ValueError, "target must be one of keras, .* received 'dB'$"),
        (lambda: rt.convert(1, "keras", None), ValueError, "target must be one of keras, .* received None"),
        (lambda: rt.convert(1, "keras", "nielsen", samples=0), ValueError, "samples must be a whole .* received 0;"),
        (lambda: rt.convert(1, "keras", "keras", batch=1.5), ValueError, "batch must be a whole .* received 1.5;"),
        (lambda: rt.convert(1, "keras", "sgdw", lr=0), ValueError, "lr must be a number above 0, received 0; give the"),
        (lambda: rt.convert(1, "keras", "sgdw", lr="1"), TypeError, "lr must be a finite number .* received '1'"),
        (lambda: rt.convert(0, LOGISTIC, "keras", samples=9), ValueError, "above 0 for .* received 0; C = inf"),
        (lambda: rt.convert(1e308, "keras", "weight_decay"), ValueError, "in weight_decay overflows float64"),
        (lambda: rt.convert(5e-324, "weight_decay", "keras"), ValueError, "in keras underflows float64"),
        (lambda: rt.convert((1, 1e-20), "keras", ELASTIC), ValueError, "l1_ratio in .* loses an l2 so"),
        (lambda: rt.convert(1, "keras", ELASTIC), TypeError, r"must be the pair \(l1, l2\) of keras, received 1$"),
        (lambda: rt.convert((1, 2, 3), ELASTIC, "keras"), TypeError, r"the pair \(alpha, l1_ratio\) of .* \(1, 2, 3\)"),
        (lambda: rt.convert((1, 2), ELASTIC, "keras"), ValueError, "l1_ratio must be a number from 0 to 1, received 2"),
        (lambda: rt.convert((1, -2), "keras", ELASTIC), ValueError, "l2 must be a finite number of at least 0"),
        (lambda: rt.convert((1, 1), "keras", "caffe"), TypeError, "strength must be one number, received a pair"),
    ],
)  # fmt: skip
def test_errors(call: Callable[[], object], error: type[Exception], message: str):
    with pytest.raises(error, match=f"^convert: .*{message}"):
        call()


def test_scalars_of_numpy_and_torch_are_numbers():
    assert rt.convert(np.float32(0.5), "keras", "nielsen", samples=np.int64(10)) == 10
    assert rt.convert(torch.tensor(0.5), "keras", "weight_decay") == 1.0


@pytest.mark.script
def test_the_command_without_a_warning():
    command = [sys.executable, "-W", "error", "-m", "regtorch.conventions", "0.01", "keras", "--batch", "32"]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "weight_decay" in result.stdout


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


def test_the_command_shows_every_convention(capsys: pytest.CaptureFixture[str]):
    given = [f"--{option}={value}" for option, value in OPTIONS.items()]
    shown = {line.split()[0]: line for line in command(capsys, "0.01", "keras", *given).splitlines()}
    for name, convention in CONVENTIONS.items():
        assert convention.formula in shown[name]
        if name in NUMBERS:
            assert float(shown[name].split()[1]) == pytest.approx(rt.convert(0.01, "keras", name, **OPTIONS), rel=1e-5)
        else:
            assert shown[name].split()[1] == "-"


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]):
    reasons = [line for line in command(capsys, "0.01", "keras", "--clipping").splitlines() if line.startswith("- ")]
    assert "- nielsen, sklearn.Ridge, sklearn.LogisticRegression: samples must be given: " in "\n".join(reasons)
    assert "- weight_decay, weight_decay.sum, caffe, darknet, sgdw: no equivalent under clipping" in "\n".join(reasons)
    told = {name for line in reasons for name in line[2:].split(": ")[0].split(", ")}
    assert told == set(CONVENTIONS) - {"keras", "tf.nn.l2_loss", "sklearn.Lasso"}


def test_the_command_takes_pairs(capsys: pytest.CaptureFixture[str]):
    assert "keras               " in command(capsys, "0.1,0.75", "sklearn.ElasticNet")
    assert "0.15, 0.025 " in command(capsys, "0.1,0.75", "sklearn.ElasticNet")


@pytest.mark.parametrize(
    "arguments",
    [(), ("x",), ("-1",), ("1,2", "caffe"), ("1", "kears"), ("1", "keras", "--batch", "0"), ("1", "keras", "--size")],
)
def test_a_wrong_command_is_one_line(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert not out
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_the_commands_help_names_everything(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = "".join(capsys.readouterr().out.split())
    assert all(word in out for word in (*CONVENTIONS, "--batch", "--samples", "--lr", "--clipping"))
