"""Attention layers of live Keras 3: values, gradients, two training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comparing import Compare
from following import follow

import keras
import regtorch as rt

pytestmark = pytest.mark.filterwarnings(  # Keras's
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:.*was passed an input with a mask attached to it:UserWarning",
)
L = keras.layers
RULES = {
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "activity_regularizer": keras.regularizers.L2(0.3),
    "kernel_constraint": keras.constraints.MaxNorm(0.7, axis=[0, 1]),
}


def steps(size: int = 6, length: int = 5) -> Any:
    return keras.Input((length, size))


def on(layer: Any, *inputs: Any, **keywords: Any) -> Any:
    outputs = layer(*inputs, **keywords)
    starts = [x for x in inputs if x is not None] + [x for x in keywords.values() if hasattr(x, "shape")]
    flat = {id(x): x for part in starts for x in (part if isinstance(part, list) else [part])}
    return keras.Model(list(flat.values()), outputs)


def heads(**settings: Any) -> Any:
    return L.MultiHeadAttention(**({"num_heads": 2, "key_dim": 3} | settings))


MULTI: dict[str, Callable[[], Any]] = {
    "self": lambda: on(heads(**RULES), (x := steps()), x),
    "two": lambda: on(heads(value_dim=4, use_bias=False), steps(), steps(7, 4)),
    "three": lambda: on(heads(output_shape=5), steps(), steps(7, 4), steps(3, 4)),
    "by name": lambda: on(heads(output_shape=(2, 3)), query=steps(), value=steps(7, 4), key=steps(3, 4)),
    "causal": lambda: on(heads(), steps(), steps(7, 4), use_causal_mask=True),
    "window": lambda: on(heads(sliding_window=2), (x := steps()), x, use_causal_mask=True),
    "scores": lambda: on(heads(), steps(), steps(7, 5), return_attention_scores=True),
    "scores, causal": lambda: on(heads(), (x := steps()), x, return_attention_scores=True, use_causal_mask=True),
    "gate": lambda: on(heads(use_gate=True, value_dim=4, **RULES), (x := steps()), x),
    "images": lambda: on(heads(attention_axes=(1, 2)), (x := keras.Input((3, 4, 6))), x),
    "images along one axis": lambda: on(heads(attention_axes=2), (x := keras.Input((3, 4, 6))), x),
    "volumes": lambda: on(heads(attention_axes=[-2, 1], value_dim=2), (x := keras.Input((2, 3, 2, 6))), x),
    "a mask": lambda: on(heads(), steps(), steps(7, 4), attention_mask=keras.Input((5, 4), dtype="int64")),
    "a mask, scores": lambda: on(
        heads(), steps(), steps(7, 5), attention_mask=keras.Input((5, 5), dtype="int64"), return_attention_scores=True
    ),
    "grouped": lambda: on(L.GroupQueryAttention(3, 4, 2, **RULES), (x := steps()), x),
    "grouped, gate": lambda: on(L.GroupQueryAttention(3, 4, 2, use_gate=True, use_bias=False), steps(), steps(6, 4)),
    "grouped, scores": lambda: on(
        L.GroupQueryAttention(3, 4, 1, sliding_window=3), (x := steps()), x, return_attention_scores=True
    ),
    "dot": lambda: on(L.Attention(), [steps(), steps(6, 4)]),
    "dot, scale": lambda: on(L.Attention(use_scale=True), [steps(), steps(7, 4), steps(6, 4)]),
    "dot, causal, scores": lambda: on(
        L.Attention(), [steps(), steps()], use_causal_mask=True, return_attention_scores=True
    ),
    "concat": lambda: on(L.Attention(score_mode="concat", use_scale=True), [steps(), steps()]),
    "concat, no scale": lambda: on(L.Attention(score_mode="concat"), [steps(), steps()]),
    "dot, images": lambda: on(L.Attention(), [keras.Input((2, 5, 6)), keras.Input((2, 4, 6))]),
    "additive": lambda: on(L.AdditiveAttention(), [steps(), steps(6, 4)]),
    "additive, no scale": lambda: on(L.AdditiveAttention(use_scale=False), [steps(), steps()]),
}


@pytest.mark.parity("attention: values, gradients, two training steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", MULTI)
def test_attention(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    follow(MULTI[name](), compare)


MASKED: dict[str, Callable[[], Any]] = {
    "heads": lambda: on(heads(), steps(), steps(7, 4)),
    "heads, scores": lambda: on(heads(), steps(), steps(7, 5), return_attention_scores=True),
    "heads, causal": lambda: on(heads(), steps(), steps(7, 4), use_causal_mask=True),
    "heads, and then the sum": lambda: added(heads()),
    "grouped": lambda: on(L.GroupQueryAttention(3, 4, 4), steps(), steps(6, 4), use_causal_mask=True),
    "grouped, scores": lambda: on(L.GroupQueryAttention(3, 4, 2), steps(), steps(6, 5), return_attention_scores=True),
    "dot": lambda: on(L.Attention(), [steps(), steps(6, 4)]),
    "dot, causal, scores": lambda: on(
        L.Attention(), [steps(), steps(6, 4)], return_attention_scores=True, use_causal_mask=True
    ),
    "additive": lambda: on(L.AdditiveAttention(), [steps(), steps(6, 4)]),
}


def added(layer: Any) -> Any:
    q, v = steps(), steps(6, 4)
    return keras.Model([q, v], L.Add()([q, layer(q, v)]))


@pytest.mark.parity("attention with masks: values, gradients, two training steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", MASKED)
def test_masks(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    net = MASKED[name]()
    masks = [torch.arange(x.shape[1]) < torch.tensor([[3], [x.shape[1]], [0]]) for x in net.inputs]
    follow(net, compare, masks=masks)


EINSUMS: dict[str, Callable[[], Any]] = {
    "ab,bc->ac": lambda: on(L.EinsumDense("ab,bc->ac", 4, "tanh", "c", **RULES_2), keras.Input((6,))),
    "abc,cd->abd": lambda: on(L.EinsumDense("abc,cd->abd", (None, 4), "softmax", "d"), steps()),
    "abc,cde->abde": lambda: on(L.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), steps()),
    "abde,dec->abc": lambda: on(L.EinsumDense("abde,dec->abc", (None, 3), bias_axes="c"), keras.Input((4, 2, 3))),
    "...x,xy->...y": lambda: on(L.EinsumDense("...x,xy->...y", 4, bias_axes="y"), keras.Input((2, 3, 6))),
    "ab...,bc->ac...": lambda: on(L.EinsumDense("ab...,bc->ac...", 4, bias_axes="c"), keras.Input((2, 3, 5))),
    "abc,bc->abc": lambda: on(L.EinsumDense("abc,bc->abc", (5, 6), bias_axes="bc"), steps()),
    "abc,bd->abcd": lambda: on(L.EinsumDense("abc,bd->abcd", (5, 6, 2), bias_axes="b"), steps()),
}
RULES_2 = {"kernel_regularizer": "l1", "bias_constraint": "non_neg", "kernel_constraint": "unit_norm"}


@pytest.mark.parity("einsum_dense: values, gradients, two training steps", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", EINSUMS)
def test_einsum_dense(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    follow(EINSUMS[name](), compare)


DOTS: dict[str, Callable[[], Any]] = {
    "flat": lambda: on(L.Dot(1), [keras.Input((4,)), keras.Input((4,))]),
    "flat, cosine": lambda: on(L.Dot(-1, normalize=True), [keras.Input((4,)), keras.Input((4,))]),
    "sequences": lambda: on(L.Dot((2, 1)), [steps(6, 5), steps(4, 6)]),
    "sequences, last": lambda: on(L.Dot(-1, normalize=True), [steps(6, 5), steps(6, 4)]),
    "a vector": lambda: on(L.Dot((1, 2)), [keras.Input((6,)), steps(6, 4)]),
    "images": lambda: on(L.Dot((3, 1)), [keras.Input((2, 3, 4)), keras.Input((4, 5))]),
    "two images": lambda: on(L.Dot((1, 2), normalize=True), [keras.Input((2, 3, 4)), keras.Input((3, 2, 5))]),
}


@pytest.mark.parity("dot: values, gradients", "Keras 3 (torch), float64")
@pytest.mark.parametrize("name", DOTS)
def test_dot(name: str, compare: Compare, floatx: Callable[[str], None]):
    floatx("float64")
    follow(DOTS[name](), compare)


@pytest.mark.parametrize("layer", [heads(dropout=0.5), L.Attention(dropout=0.5), L.AdditiveAttention(dropout=0.5)])
def test_dropout_of_the_scores_is_off_in_evaluation(layer: Any):
    x = steps()
    theirs = on(layer, x, x) if isinstance(layer, L.MultiHeadAttention) else on(layer, [x, x])
    ours, _ = rt.keras.from_config(theirs.to_json())
    rt.keras.load_weights(ours, theirs.get_weights())
    value = torch.randn(64, 5, 6)
    trained = [ours(value) for _ in range(2)]
    assert not torch.equal(*trained)
    torch.testing.assert_close(ours.eval()(value), theirs(value, training=False).detach())
