"""A strength said in one library's convention, said in another's.

Every convention here means c Σw² with c = factor · strength; what differs is the factor.
"""

from __future__ import annotations

from difflib import get_close_matches

from regtorch.rule import nonnegative

__all__ = ["convert"]

# c Σw² for a strength of 1. Keras and regtorch write no ½; tf.nn.l2_loss is ½Σw²; an optimizer's (coupled) weight_decay
# adds wd·w to the gradient, which is the gradient of ½·wd·Σw².
_FACTORS = {
    "keras": 1.0,
    "tf.nn.l2_loss": 0.5,
    "weight_decay": 0.5,
}


def _factor(argument: str, convention: str) -> float:
    if convention in _FACTORS:
        return _FACTORS[convention]
    nearest = get_close_matches(str(convention), _FACTORS, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"convert: {argument} must be one of {', '.join(_FACTORS)}, received {convention!r}{hint}")


def convert(strength: float, source: str, target: str) -> float:
    """Say an L2 strength of one convention in another.

    | convention | penalty for a strength s |
    |---|---|
    | keras (and regtorch) | s Σw² |
    | tf.nn.l2_loss | s ½Σw² |
    | weight_decay (torch's SGD, Adam, … : coupled, added to the gradient) | ½ s Σw² |

    Args:
        strength: the number as the source writes it.
        source: the convention it is written in.
        target: the convention wanted.

    Raises:
        TypeError: `strength` is not a number.
        ValueError: it is negative, infinite or NaN, or a convention is unknown.

    Example:
        >>> import regtorch as rt
        >>> rt.convert(0.01, "keras", "weight_decay")
        0.02
    """
    strength = nonnegative("convert", "strength", strength)
    return strength * (_factor("source", source) / _factor("target", target))
