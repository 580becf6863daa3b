"""Records runs of a Keras 2.14 net with attention, as record_keras2.py does of the others.

python tests/parity/record_keras2_attention.py tests/parity/keras-2.14-attention.json
"""

from __future__ import annotations

import sys
from typing import Any

from record_keras2 import Net, write


def attention(k: Any, r: Any, c: Any, x: Any) -> Any:
    """Each kind of attention with rules, over sequences with gaps."""
    x = k.Dense(6, activation="tanh")(k.Masking()(k.ReLU(threshold=0.3)(x)))
    rules = {"kernel_regularizer": r.L2(0.01), "bias_regularizer": r.L1(1e-3), "kernel_constraint": c.MaxNorm(0.9)}
    y = k.MultiHeadAttention(2, 3, value_dim=4, activity_regularizer=r.L2(1e-3), **rules)(x, x, use_causal_mask=True)
    x = k.LayerNormalization(gamma_regularizer=r.L2(0.01))(k.Add()([x, y]))
    narrow = k.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", kernel_regularizer=r.L2(0.01))(x)
    x = k.MultiHeadAttention(2, 2, output_shape=5, use_bias=False)(x, narrow, narrow)
    query, states = k.LSTM(5, kernel_regularizer=r.L1(1e-3))(x), k.GRU(5, return_sequences=True)(x)
    query = k.Reshape((1, 5))(query)
    a = k.AdditiveAttention()([query, states])
    b = k.Attention(use_scale=True)([query, states, x])
    d = k.Dot(axes=2, normalize=True)([query, a])
    return k.Dense(2)(k.Concatenate()([k.Flatten()(part) for part in (a, b, d)]))


CASES: dict[str, tuple[Net, tuple[int, ...], str, str, dict[str, Any]]] = {
    "attention/adam": (attention, (6, 1), "mse", "Adam", {}),
    "attention/sgd_momentum": (attention, (6, 1), "mse", "SGD", {"momentum": 0.9}),
}


if __name__ == "__main__":
    write(sys.argv[1], CASES)
