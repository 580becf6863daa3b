"""Ways 1, 2 and 3 with third-party optimizers and wrappers; what is not installed is skipped.

    python tests/third_party_optimizers.py [PART OF A NAME ...]

A row is an optimizer, a column a check (`third_party/checks.py`):

    =   equal within 1e-10 in float64
    in  acts inside a wrapper, as the inner optimizer's own weight_decay does
    2   equal to way 2; way 1 is another thing, for the reason given
    ~   as equal as the optimizer is to itself with the last bit of its gradients changed
    R   refused by a sentence
    W   warned of in a sentence
    -   does not apply, or fails without a rule, too
    !   wrong, and the exit code is 1
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import torch

from third_party import own, trainers, wrappers
from third_party.checks import CHECKS, row
from third_party.optimizers import LIBRARIES
from third_party.training import Case

__all__ = ["cases"]

OF: list[tuple[str, Callable[[], Iterable[Case]]]] = [
    *LIBRARIES.items(),
    ("torch", wrappers.torch_cases),
    ("pytorch_optimizer", wrappers.pytorch_optimizer_cases),
    ("timm", wrappers.timm_cases),
    ("schedulefree", wrappers.schedulefree_cases),
    ("optimi", wrappers.optimi_cases),
    ("torch_optimizer", wrappers.torch_optimizer_cases),
    ("lightning", trainers.lightning_cases),
    ("accelerate", trainers.accelerate_cases),
    ("transformers", trainers.transformers_cases),
    ("fastai", trainers.fastai_cases),
    ("skorch", trainers.skorch_cases),
    ("ignite", trainers.ignite_cases),
    ("torch", own.own_cases),
]


def installed(library: str) -> bool:
    """Whether the library can be imported."""
    return importlib.util.find_spec(library) is not None


def cases() -> Iterator[tuple[str, Case]]:
    """Every case whose library is there, with its name."""
    for library, of in OF:
        if installed(library):
            yield from ((f"{library}: {case.name}", case) for case in of())


def main(parts: list[str]) -> int:
    """The table; 1 where something is wrong."""
    torch.set_num_threads(1)
    for library in dict(OF):
        if not installed(library):
            print(f"{library}: not installed, skipped")
    marks: Counter[str] = Counter()
    bad: list[str] = []
    rows = 0
    print(f"{'':52}", *(f"{name:>10}" for name in CHECKS))
    for name, case in cases():
        if parts and not any(part.lower() in name.lower() for part in parts):
            continue
        rows += 1
        found, wrong = row(case)
        marks.update(found.values())
        print(f"{name:52}", *(f"{found[check]:>10}" for check in CHECKS), "", case.why, flush=True)
        bad += [f"{name}: {text}" for text in wrong]
    print(f"\n{rows} optimizers and wrappers;", ", ".join(f"{n} × {mark}" for mark, n in marks.most_common()))
    print(*bad, sep="\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
