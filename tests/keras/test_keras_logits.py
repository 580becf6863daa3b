"""`from_config(logits=True)` leaves out the last activation of each output, and only that."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import regtorch as rt
from keras_json import START, build, call, dense, functional, layer

ACTIVE = {"class_name": "L1", "config": {"l1": 0.5}}
SOFT: dict[str, Any] = {"activation": "softmax"}


def softmax(x: Tensor) -> Tensor:
    return x.softmax(-1)


def twins(config: Any) -> tuple[nn.Module, nn.Module, list[Any], list[Any]]:
    """The net with and without its last activations, with the same weights, and the penalties of each."""
    (whole, rules), (bare, bare_rules) = (
        rt.keras.from_config(copy.deepcopy(config), seed=0, logits=on) for on in (False, True)
    )
    return whole.double(), bare.double(), [r.on(whole) for r in rules], [r.on(bare) for r in bare_rules]


def check(config: Any, *activations: Callable[[Tensor], Tensor]) -> nn.Module:
    """The activations of the bare net's outputs are the full net's outputs; penalties and weights agree."""
    whole, bare, rules, bare_rules = twins(config)
    x = torch.randn(5, 4, dtype=torch.float64)
    expected, logits = whole(x), bare(x)
    expected, logits = ([y] if isinstance(y, Tensor) else y for y in (expected, logits))
    for activation, a, b in zip(activations, logits, expected, strict=True):
        torch.testing.assert_close(activation(a), b, rtol=1e-12, atol=1e-12)
        assert (a - b).abs().max() > 1e-3
    torch.testing.assert_close([rule() for rule in bare_rules], [rule() for rule in rules], rtol=1e-12, atol=1e-12)
    assert [name for name, _ in bare.named_parameters()] == [name for name, _ in whole.named_parameters()]
    for a, b in zip(rt.keras.get_weights(bare), rt.keras.get_weights(whole), strict=True):
        assert (a == b).all()
    return bare


@pytest.mark.parametrize(
    "head", [dense(activation="softmax"), layer("Softmax"), layer("Activation", activation="sigmoid")]
)
def test_the_last_activation_is_left_out(head: dict[str, Any]):
    whole, bare = (build(head, shape=(None, 3), seed=0, logits=logits)[0] for logits in (False, True))
    x = torch.randn(2, 3)
    last = torch.sigmoid if "Activation" in head["class_name"] else softmax
    torch.testing.assert_close(last(bare(x)), whole(x))
    assert not any(isinstance(m, nn.Softmax | nn.Sigmoid) for m in bare.modules())


@pytest.mark.parametrize("head", [dense("aux", **SOFT), layer("Softmax", "aux")])
def test_an_output_that_feeds_another_head(head: dict[str, Any]):
    config = functional(
        START,
        (dense("first"), [call("start")]),
        (head, [call("first")]),
        (dense("main", 1, activation="sigmoid"), [call("aux")]),
        outputs=[["aux", 0, 0], ["main", 0, 0]],
    )
    check(config, softmax, torch.sigmoid)


def test_a_head_that_feeds_itself():
    config = functional(
        START,
        (dense("head", 4, **SOFT), [call("start"), call("head")]),
        outputs=[["head", 1, 0]],
    )
    bare = check(config, softmax)
    assert [name for name, _ in bare.named_children()] == ["head", "head_activation"]


def test_one_of_two_calls_is_an_output():
    config = functional(
        START,
        (dense("first", 4), [call("start")]),
        (dense("head", 2, **SOFT), [call("start"), call("first")]),
        (dense("other", 2, activation="sigmoid"), [call("head")]),
        outputs=[["head", 1, 0], ["other", 0, 0]],
    )
    check(config, softmax, torch.sigmoid)


def test_both_calls_are_outputs_and_one_is_listed_twice():
    config = functional(
        START,
        (dense("first", 4), [call("start")]),
        (dense("head", 2, **SOFT), [call("start"), call("first")]),
        outputs=[["head", 1, 0], ["head", 0, 0], ["head", 1, 0]],
    )
    bare = check(config, softmax, softmax, softmax)
    assert [name for name, _ in bare.named_children()] == ["first", "head"]


@pytest.mark.parametrize(
    "head",
    [[dense(activity_regularizer=ACTIVE, **SOFT)], [dense("first"), layer("Softmax", activity_regularizer=ACTIVE)]],
)
def test_an_activity_penalty_reads_the_activation(head: Any):
    calls = [(one, [call(before)]) for one, before in zip(head, ["start", "first"], strict=False)]
    whole, bare, (rule,), (bare_rule,) = twins(functional(START, *calls))
    x = torch.randn(5, 4).double()
    torch.testing.assert_close(bare(x).softmax(-1), whole(x))
    assert rule().item() == pytest.approx(0.5)  # probabilities sum to 1
    assert bare_rule().item() == pytest.approx(0.5)


def nested(*head: dict[str, Any], name: str = "inner") -> dict[str, Any]:
    calls = [
        (one, [call(before)]) for one, before in zip(head, ["in", *(h["config"]["name"] for h in head)], strict=False)
    ]
    inner = functional((layer("InputLayer", "in", batch_shape=[None, 4]), []), *calls)
    return {"class_name": "Functional", "config": {**inner["config"], "name": name}}


def test_a_nested_net_at_the_end():
    bare = check(functional(START, (nested(dense(**SOFT)), [call("start")])), softmax)
    assert isinstance(bare.get_submodule("inner")(torch.ones(1, 4).double()), Tensor)
    check(functional(START, (nested(nested(dense(**SOFT), name="deeper")), [call("start")])), softmax)


def test_a_nested_net_that_feeds_itself_and_a_head():
    head = [dense("first", kernel_regularizer="l2"), dense(units=4, activity_regularizer=ACTIVE, **SOFT)]
    config = functional(
        START,
        (nested(*head), [call("start"), call("inner")]),
        (dense("main", 1, activation="sigmoid"), [call("inner:1")]),
        outputs=[["inner", 1, 0], ["main", 0, 0]],
    )
    check(config, softmax, torch.sigmoid)


def test_one_of_a_nested_nets_outputs_is_an_output():
    inner = functional(
        (layer("InputLayer", "in", batch_shape=[None, 4]), []),
        (dense("a", 2, **SOFT), [call("in")]),
        (dense("b", 2, activation="sigmoid"), [call("a")]),
        outputs=[["a", 0, 0], ["b", 0, 0], ["a", 0, 0]],
        name="inner",
    )
    config = functional(
        START,
        (inner, [call("start")]),
        (layer("Add", "sum"), [[["inner", 0, 1, {}], ["inner", 0, 2, {}]]]),
        (layer("Softmax", "soft"), [call("sum")]),
        outputs=[["inner", 0, 0], ["soft", 0, 0]],
    )
    check(config, softmax, softmax)


def test_a_batch_norm_called_twice_keeps_the_order_of_its_calls():
    config = functional(
        START,
        (dense("long", 4), [call("start")]),
        (layer("BatchNormalization", "norm", momentum=0.5), [call("long"), call("start")]),
        (dense("more", 4), [call("norm:1")]),
        (dense("head", 2, **SOFT), [call("norm"), call("more")]),
        (dense("end", 2, activation="sigmoid"), [call("head")]),
        outputs=[["end", 0, 0], ["head", 1, 0]],
    )
    check(config, torch.sigmoid, softmax)


def test_images_keep_their_channels():
    start = (layer("InputLayer", "start", batch_shape=[None, 5, 6, 2]), [])
    head = layer("Conv2D", "head", filters=3, kernel_size=1, activity_regularizer=ACTIVE, **SOFT)
    config = functional(start, (head, [call("start")]), (dense("end", 2, **SOFT), [call("head")]))
    config["config"]["output_layers"] = [["head", 0, 0], ["end", 0, 0]]
    whole, bare, (rule,), (bare_rule,) = twins(config)
    x = torch.randn(2, 2, 5, 6).double()
    for a, b in zip(bare(x), whole(x), strict=True):
        torch.testing.assert_close(a.softmax(1), b)
    torch.testing.assert_close(bare_rule(), rule())


def test_copy_pickle_and_compile():
    config = functional(
        START,
        (nested(dense("head", 4, activity_regularizer=ACTIVE, **SOFT)), [call("start"), call("inner")]),
        outputs=[["inner", 1, 0]],
    )
    net, _ = rt.keras.from_config(config, seed=0, logits=True)
    x = torch.randn(3, 4)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), torch.compile(net, backend="eager")):
        torch.testing.assert_close(other(x), net(x), rtol=0, atol=0)


ONE = "a softmax over one unit, which is always 1"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            functional(START, (dense(activation="relu"), [call("start")])),
            r"output 'it' \(Dense\) does not end in a softmax",
        ),
        (
            functional(START, (dense(), [call("start")])),
            r"output 'it' .* does not end in a softmax or sigmoid; leave logits",
        ),
        (
            functional(START, (dense(activation="log_softmax"), [call("start")])),
            "'it' .* does not end in a softmax or sigm",
        ),
        (functional(START, (nested(dense()), [call("start")])), "output 'inner.it' .* does not end in a softmax"),
        (functional(START, outputs=[["start", 0, 0]]), "output 'start' .* does not end in a softmax or sigmoid"),
        (functional(START, (dense(units=1, **SOFT), [call("start")])), f"output 'it' is {ONE}"),
        (functional(START, (dense("a", 1), [call("start")]), (layer("Softmax"), [call("a")])), f"'it' is {ONE}"),
        (functional(START, (nested(dense(units=1, **SOFT)), [call("start")])), f"output 'inner.it' is {ONE}"),
        (
            functional(
                START,
                (dense("a", **SOFT), [call("start")]),
                (dense("b"), [call("start")]),
                outputs=[["a", 0, 0], ["b", 0, 0]],
            ),
            "output 'b' .* does not end in a softmax or sigmoid",
        ),
    ],
)
def test_outputs_without_logits_are_refused(config: Any, message: str):
    with pytest.raises(ValueError, match=message):
        rt.keras.from_config(config, logits=True)


@pytest.mark.parametrize("value", ["no", None, 1])
def test_logits_must_be_a_bool(value: Any):
    with pytest.raises(TypeError, match="from_config: logits must be True or False, received"):
        build(dense(**SOFT), logits=value)
