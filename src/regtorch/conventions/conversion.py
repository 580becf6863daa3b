"""`convert`: from a strength to the coefficient of a penalty, and from there to another strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from fractions import Fraction
from typing import Literal, overload

from regtorch.checks import nonnegative
from regtorch.conventions.convention import ALIASES, CONVENTIONS, DIVISORS, PAIR, SUMMED, Convention, Name, Option

__all__ = ["convert"]

Pair = tuple[float, float]
_BOTH = "sklearn.ElasticNet"
_L1_RATIO = 0.5  # scikit-learn's default
_ROUNDING = Fraction(1, 2**53)  # the relative error of a normal float64; that of subnormal numbers is larger
_SIX_DIGITS = Fraction(1, 10**6)


@overload
def convert(
    strength: Sequence[float],
    source: Name,
    target: Name,
    *,
    batch: int | None = None,
    samples: int | None = None,
    lr: float | None = None,
    clipping: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> Pair: ...
@overload
def convert(  # pyright: ignore[reportOverlappingOverload] - the first match counts
    strength: float,
    source: Literal["sklearn.ElasticNet"],
    target: Name,
    *,
    batch: int | None = None,
    samples: int | None = None,
    lr: float | None = None,
    clipping: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> Pair: ...
@overload
def convert(
    strength: float,
    source: Name,
    target: Name,
    *,
    batch: int | None = None,
    samples: int | None = None,
    lr: float | None = None,
    clipping: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> float: ...
def convert(
    strength: float | Sequence[float],
    source: Name,
    target: Name,
    *,
    batch: int | None = None,
    samples: int | None = None,
    lr: float | None = None,
    clipping: bool = False,
    reduction: Literal["mean", "sum"] = "mean",
) -> float | Pair:
    """Convert a strength from one convention to another.

    All conventions refer to a task loss that is a *mean* over samples, torch's default reduction. A strength s then
    means:

    | convention | added to the mean loss | acts |
    |---|---|---|
    | keras (regtorch) | s Σw², or s Σ|w|; of a pair l1 Σ|w| + l2 Σw² | in the loss |
    | tf.nn.l2_loss | ½ s Σw² | in the loss |
    | weight_decay (torch's, optax's `add_decayed_weights`: s·w joins the gradient) | ½ s Σw² | in the optimizer |
    | keras.sum (s Σw² beside a sum over the batch) | s/batch Σw², or s/batch Σ|w| | in the loss |
    | weight_decay.sum (torch's beside a sum over the batch) | s/(2·batch) Σw² | in the optimizer |
    | caffe | ½ s Σw² | in the optimizer |
    | darknet | ½ s Σw² | in the optimizer |
    | nielsen (s/(2n) Σw² beside a mean) | s/(2·samples) Σw² | in the loss |
    | sklearn.Ridge (‖y - Xw‖² + s‖w‖²) | s/samples Σw² | in the loss |
    | sklearn.Lasso (‖y - Xw‖²/(2n) + s‖w‖₁) | 2 s Σ|w| | in the loss |
    | sklearn.ElasticNet (Lasso's, s = (alpha, l1_ratio)) | 2 s·l1_ratio Σ|w| + s·(1 - l1_ratio) Σw² | in the loss |
    | sklearn.LogisticRegression (s = C: C Σ logloss + ½‖w‖²) | 1/(2 s·samples) Σw² | in the loss |
    | sklearn.MLP (s = alpha) | s/(2·batch) Σw² | in the loss |
    | sgdw (w ← w - s·w at each step of plain SGD, not times lr) | s/(2·lr) Σw² | in the optimizer |
    | adamw (torch.AdamW, keras.AdamW, optax.adamw) | none: w ← w - lr·s·w | in the optimizer |
    | keras.decay (Keras 2's `decay=`) | none: lr ← lr/(1 + s·step) | in the optimizer |

    The regressions of scikit-learn refer to the mean squared error, which is twice Lasso's loss. MLPRegressor uses
    *half* the mean squared error: with `F.mse_loss` its strength is twice the result. MLP divides by the size of each
    batch, so a smaller last batch has a stronger penalty. LogisticRegression's C is infinite at strength 0. `sgdw` has
    an equivalent only in plain SGD: momentum would accumulate a penalty's gradient.

    In keras's convention a number is the strength of `rt.L2` or `rt.L1`, whichever the other convention penalises; for
    ElasticNet it is the pair (l1, l2) of `rt.L1L2`. ElasticNet's strength is the pair (alpha, l1_ratio); a single
    number is alpha with an l1_ratio of 0.5.

    Args:
        strength: the strength in the source's convention.
        source: its convention.
        target: the convention to convert to.
        batch: samples in a batch.
        samples: samples in the training set.
        lr: the learning rate.
        clipping: whether gradients are clipped. A penalty in the loss is then clipped, one in the optimizer (such as an
            attached rule) is not, and neither is equivalent to the other.
        reduction: "sum" if the result is for a task loss that is a sum over the batch, as with
            `CrossEntropyLoss(reduction="sum")`; the same as the target "keras.sum" or "weight_decay.sum".

    Raises:
        TypeError: an argument is not a number, or a pair where a number is expected or vice versa.
        ValueError: a number is out of range; a convention is unknown, needs an option or has no equivalent; or float64
            cannot represent the result: too large, too small, or an l1_ratio so near 1 that l2 is lost.

    Example:
        >>> import regtorch as rt
        >>> rt.convert(0.01, "keras", "weight_decay")
        0.02
        >>> rt.convert(1.0, "sklearn.Ridge", "keras", samples=200)
        0.005
        >>> rt.L1L2(*rt.convert((0.5, 0.25), "sklearn.ElasticNet", "keras"))
        L1L2(l1=0.25, l2=0.375)
        >>> rt.convert(0.01, "keras", "keras", reduction="sum", batch=32)  # the sum is 32 times the mean
        0.32
    """
    given: dict[Option, float | None] = {"batch": batch, "samples": samples, "lr": lr}
    options: dict[Option, Fraction] = {name: _option(name, value) for name, value in given.items() if value is not None}
    if reduction not in ("mean", "sum"):
        raise ValueError(f"convert: reduction must be 'mean' or 'sum', received {reduction!r}")
    a, b = _find("source", source), _find("target", _summed(target) if reduction == "sum" else target)
    is_pair = isinstance(strength, Sequence) and not isinstance(strength, str)
    _check_equal_exists(a, b, is_pair, clipping)
    if is_pair or _BOTH in (a.name, b.name):
        l1, l2 = (part * _divisors(a, b, options) for part in _to_l1l2(a, strength))
        return _from_l1l2(b, l1, l2)
    return _write(b, _read(a, strength) * a.factor / b.factor * _divisors(a, b, options))


def _summed(target: object) -> object:
    if target in SUMMED.values():
        return target
    if isinstance(target, str) and target in SUMMED:
        return SUMMED[target]
    raise ValueError(
        f"convert: target must be one of {', '.join(SUMMED)} with reduction='sum', received {target!r}, whose loss "
        "has a fixed reduction"
    )


def _find(argument: str, name: object) -> Convention:
    known = {**CONVENTIONS, **{alias: CONVENTIONS[name] for alias, name in ALIASES.items()}}
    if isinstance(name, str) and name in known:
        return known[name]
    lower = {each.lower(): each for each in known}
    nearest = get_close_matches(str(name).lower(), lower, n=1)
    hint = f"; did you mean {lower[nearest[0]]!r}?" if nearest else ""
    raise ValueError(f"convert: {argument} must be one of {', '.join(known)}, received {name!r}{hint}")


def _check_equal_exists(a: Convention, b: Convention, is_pair: bool, clipping: bool) -> None:
    """Each message starts with the reason and a semicolon; the command prints only the reason."""
    if not a.kinds & b.kinds:
        why = a.alone or b.alone
        if why:
            raise ValueError(f"convert: {why}; {a.name} has no equivalent in {b.name}, choose a new one by validation")
        raise ValueError(
            f"convert: no multiple of {min(a.kinds)} is {min(b.kinds)}; {a.name} has no equivalent in {b.name}, "
            "convert to keras and use rt.L1, rt.L2 or rt.L1L2"
        )
    if is_pair and PAIR not in a.kinds & b.kinds:
        raise TypeError(
            f"convert: strength must be one number, received a pair; from {a.name} to {b.name} give one number, "
            "pairs are for keras and sklearn.ElasticNet"
        )
    if clipping and a.place != b.place:
        first, second = sorted((a, b), key=lambda c: c.place)
        raise ValueError(
            "convert: no equivalent under clipping: a penalty in the loss is clipped, a decay in the optimizer is not; "
            f"{first.name} has no equivalent in {second.name}. A rule attached to the optimizer is not clipped either: "
            "for one, remove clipping=True"
        )


def _option(name: Option, value: object) -> Fraction:
    hint = "give the learning rate, such as 0.1" if name == "lr" else f"give {DIVISORS[name]}, such as 32"
    number = nonnegative("convert", name, value, hint)
    if number == 0 or (name != "lr" and number != int(number)):
        expected = "a number above 0" if name == "lr" else "a whole number of at least 1"
        raise ValueError(f"convert: {name} must be {expected}, received {value!r}; {hint}")
    return Fraction(number)


def _divisors(a: Convention, b: Convention, options: dict[Option, Fraction]) -> Fraction:
    """The divisor of b over that of a; 1 if both divide by the same option."""
    return Fraction(1) if a.per == b.per else _divisor(b, options) / _divisor(a, options)


def _divisor(convention: Convention, options: dict[Option, Fraction]) -> Fraction:
    if convention.per is None:
        return Fraction(1)
    if convention.per not in options:
        raise ValueError(
            f"convert: {convention.per} must be given: {DIVISORS[convention.per]}; {convention.name} divides by it"
        )
    return options[convention.per]


def _read(convention: Convention, strength: object) -> Fraction:
    """The exact number that the coefficient is proportional to; only the result is rounded."""
    if not convention.inverse:
        return Fraction(nonnegative("convert", "strength", strength))
    if strength == math.inf:
        return Fraction(0)
    c = Fraction(nonnegative("convert", "strength", strength, "C = inf switches the penalty off"))
    if not c:
        raise ValueError(f"convert: strength must be above 0 for {convention.name}, received 0; C = inf is no penalty")
    return 1 / c


def _write(convention: Convention, value: Fraction) -> float:
    if convention.inverse:
        if not value:
            return math.inf
        value = 1 / value
    return _rounded("the strength", convention, value)


def _rounded(what: str, convention: Convention, value: Fraction) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"convert: {what} in {convention.name} overflows float64; give a smaller strength") from None
    if abs(Fraction(number) - value) > _ROUNDING * value:
        raise ValueError(f"convert: {what} in {convention.name} underflows float64; give a larger strength, or 0")
    return number


def _to_l1l2(convention: Convention, strength: object) -> tuple[Fraction, Fraction]:
    net = convention.name == _BOTH
    if net and not isinstance(strength, Sequence):
        strength = (strength, _L1_RATIO)
    if isinstance(strength, str) or not isinstance(strength, Sequence) or len(strength) != 2:
        names = "(alpha, l1_ratio)" if net else "(l1, l2)"
        raise TypeError(f"convert: strength must be the pair {names} of {convention.name}, received {strength!r}")
    arguments = ("alpha", "l1_ratio") if net else ("l1", "l2")
    first, second = (Fraction(nonnegative("convert", *each)) for each in zip(arguments, strength, strict=True))
    if not net:
        return first, second
    if second > 1:
        raise ValueError(
            f"convert: l1_ratio must be a number from 0 to 1, received {strength[1]!r}; 1 is Lasso, 0 is Ridge"
        )
    return 2 * first * second, first * (1 - second)


def _from_l1l2(convention: Convention, l1: Fraction, l2: Fraction) -> Pair:
    if convention.name != _BOTH:
        return _rounded("l1", convention, l1), _rounded("l2", convention, l2)
    alpha = l1 / 2 + l2
    if not alpha:
        return 0.0, _L1_RATIO
    share = l2 / alpha
    ratio = _rounded("l1_ratio", convention, 1 - share)
    if abs(1 - Fraction(ratio) - share) > _SIX_DIGITS * share:
        raise ValueError(
            f"convert: l1_ratio in {convention.name} loses an l2 so much smaller than l1: it rounds to {ratio!r}; "
            "set l2 to 0, or use rt.L1L2"
        )
    return _rounded("alpha", convention, alpha), ratio
