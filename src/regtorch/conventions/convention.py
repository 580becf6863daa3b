"""The conventions as data: what a strength s adds to a task loss that is a mean over samples.

Libraries write their loss as a sum, a mean, or half of either. Dividing the objective by a constant moves no minimum
and turns each into a mean loss plus a penalty with the coefficient factor · s / per.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

__all__ = ["ALIASES", "CONVENTIONS", "DIVISORS", "PAIR", "SUMMED", "Convention", "Name", "Option", "Place"]

Option = Literal["batch", "samples", "lr"]
Place = Literal["loss", "optimizer"]
Name = Literal[
    "keras",
    "tf.nn.l2_loss",
    "weight_decay",
    "keras.sum",
    "weight_decay.sum",
    "caffe",
    "darknet",
    "nielsen",
    "sklearn.Ridge",
    "sklearn.Lasso",
    "sklearn.ElasticNet",
    "sklearn.LogisticRegression",
    "sklearn.MLP",
    "sgdw",
    "adamw",
    "keras.decay",
    "regtorch",
    "torch.AdamW",
    "keras.AdamW",
    "optax.adamw",
]
"""What `convert` calls each convention, aliases included."""

L1, L2, PAIR = "Σ|w|", "Σw²", "l1 Σ|w| + l2 Σw²"
DIVISORS: dict[Option, str] = {
    "batch": "the number of samples in a batch",
    "samples": "the number of training samples",
    "lr": "the learning rate",
}


@dataclass(frozen=True)
class Convention:
    """One convention for a strength s.

    Attributes:
        name: as given to `convert`.
        formula: what s adds to a task loss that is a mean over samples, as text.
        factor: in the coefficient factor · s / per.
        kinds: what the coefficient may multiply; conventions without a common kind have no equivalent.
        place: in the loss, or in the optimizer after gradient clipping.
        per: the option that divides the coefficient.
        inverse: use 1/s in place of s, as for scikit-learn's C.
        alone: why no other convention has an equivalent.
    """

    name: Name
    formula: str
    factor: Fraction = Fraction(1)
    kinds: frozenset[str] = frozenset({L2})
    place: Place = field(default="loss", kw_only=True)
    per: Option | None = field(default=None, kw_only=True)
    inverse: bool = field(default=False, kw_only=True)
    alone: str = field(default="", kw_only=True)


_HALF = Fraction(1, 2)
_ADAMW = "decoupled decay is not a penalty: it bypasses Adam's per-element scaling of the gradient"
_DECAY = "Keras 2's `decay=` is not a penalty: it lowers the learning rate and decays no weight"

CONVENTIONS: dict[Name, Convention] = {
    convention.name: convention
    for convention in (
        Convention("keras", "s Σw², or s Σ|w|; of a pair l1 Σ|w| + l2 Σw²", kinds=frozenset({L1, L2, PAIR})),
        Convention("tf.nn.l2_loss", "½ s Σw²", _HALF),
        Convention("weight_decay", "½ s Σw²", _HALF, place="optimizer"),
        Convention("keras.sum", "s/batch Σw², or s/batch Σ|w|", kinds=frozenset({L1, L2, PAIR}), per="batch"),
        Convention("weight_decay.sum", "s/(2·batch) Σw²", _HALF, place="optimizer", per="batch"),
        Convention("caffe", "½ s Σw²", _HALF, place="optimizer"),
        Convention("darknet", "½ s Σw²", _HALF, place="optimizer"),
        Convention("nielsen", "s/(2·samples) Σw²", _HALF, per="samples"),
        Convention("sklearn.Ridge", "s/samples Σw²", per="samples"),
        Convention("sklearn.Lasso", "2 s Σ|w|", Fraction(2), frozenset({L1})),
        # Two coefficients: see `convert` for the formula.
        Convention("sklearn.ElasticNet", "2 s·l1_ratio Σ|w| + s·(1 - l1_ratio) Σw²", kinds=frozenset({PAIR})),
        Convention("sklearn.LogisticRegression", "1/(2 s·samples) Σw²", _HALF, per="samples", inverse=True),
        Convention("sklearn.MLP", "s/(2·batch) Σw²", _HALF, per="batch"),
        Convention("sgdw", "s/(2·lr) Σw²", _HALF, place="optimizer", per="lr"),
        Convention(
            "adamw", "none: w ← w - lr·s·w", kinds=frozenset({"decoupled decay"}), place="optimizer", alone=_ADAMW
        ),
        Convention(
            "keras.decay",
            "none: lr ← lr/(1 + s·step)",
            kinds=frozenset({"learning-rate decay"}),
            place="optimizer",
            alone=_DECAY,
        ),
    )
}
SUMMED: dict[Name, Name] = {"regtorch": "keras.sum", "keras": "keras.sum", "weight_decay": "weight_decay.sum"}
"""The name of a convention for a task loss that is a sum over the batch."""
ALIASES: dict[Name, Name] = {
    "regtorch": "keras",
    **dict.fromkeys(("torch.AdamW", "keras.AdamW", "optax.adamw"), "adamw"),
}
