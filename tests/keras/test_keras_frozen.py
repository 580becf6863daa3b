"""Which layers train: `trainable` of layers, nested nets and nets, in the JSON of Keras 2 and 3."""

from __future__ import annotations

from typing import Any

import pytest

import regtorch as rt
from keras_json import START, call, dense, functional, layer

L2 = {"class_name": "L2", "config": {"l2": 0.5}}


def net(outer: Any, nested: Any, first: Any, last: Any, version: int) -> tuple[set[str], set[str], Any]:
    """The trainable layers of start -> inner(first, norm) -> last, those with a penalty or constraint, and the net."""

    def at(flag: Any) -> dict[str, Any]:
        return {} if flag is None else {"trainable": flag}

    rules: Any = {"kernel_regularizer": L2, "kernel_constraint": "non_neg", "activity_regularizer": L2}
    inner = functional(
        (layer("InputLayer", "in", batch_shape=[None, 4]), []),
        (dense("first", 4, **at(first), **rules), [call("in")]),
        (layer("BatchNormalization", "norm", **at(first)), [call("first")]),
        name="inner",
    )
    inner["config"] |= at(nested)
    config = functional(START, (inner, [call("start")]), (dense("last", 2, **at(last), **rules), [call("inner")]))
    config["config"] |= at(outer)
    built, found = rt.keras.from_config(config, version=version)
    trained = {name.split(".")[-2] for name, p in built.named_parameters() if p.requires_grad}
    ruled = [rule for rule in found if not isinstance(rule, rt.Activity)]
    assert len(found) == len(ruled) + 1  # the outputs of frozen layers are penalised too
    return trained, {name.split(".")[-2] for rule in ruled for name in rt.select.weights(built, rule.select)}, built


INNER, LAST = {"first", "norm"}, {"last"}


@pytest.mark.parametrize(
    ("outer", "nested", "first", "last", "in_3", "in_2"),
    [
        (None, None, None, None, INNER | LAST, INNER | LAST),
        (True, True, True, True, INNER | LAST, INNER | LAST),
        (False, False, False, False, set(), set()),
        (False, None, None, None, set(), set()),
        (False, False, True, True, set(), set()),  # in Keras 3 the flag of the outermost net counts
        (True, False, True, True, INNER | LAST, LAST),  # and the layer's own; in Keras 2 every flag
        (True, False, False, True, LAST, LAST),
        (True, True, True, False, INNER, INNER),
        (None, True, False, None, LAST, LAST),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Keras 2 adds its constant penalty")
def test_which_layers_train(outer: Any, nested: Any, first: Any, last: Any, in_3: set[str], in_2: set[str]):
    for version, expected in ((3, in_3), (2, in_2)):
        trained, ruled, built = net(outer, nested, first, last, version)
        assert trained == expected
        assert ruled == expected - {"norm"}
        assert built.get_submodule("inner.norm").trainable is (first is not False)  # its mode follows its own flag


def test_warns_of_a_constant_penalty_once_a_layer():
    with pytest.warns(UserWarning, match="Keras 2 adds its constant penalty to the loss") as told:
        net(False, None, None, None, 2)
    assert ["'last'" in str(w.message) for w in told] == [False, True]


@pytest.mark.parametrize("flag", ["no", 0, [], "false"])
def test_trainable_must_be_a_bool(flag: Any):
    for flags in ((flag, None, None, None), (None, flag, None, None), (None, None, flag, None)):
        with pytest.raises(ValueError, match=r"from_config: .*trainable must be True or False, received"):
            net(*flags, version=3)
    with pytest.raises(ValueError, match=r"layer 'last' \(Dense\): trainable must be True or False, received"):
        net(None, None, None, flag, version=3)
