"""Rules of one's own: what a class must say, what it gets for that, and what the checker says of wrong ones."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim
from torch.nn import functional as F

import regtorch as rt
from nets import dense, tied
from regtorch.testing import check_penalty
from wrong_rules import Bare, Vector

close = torch.testing.assert_close


@dataclass(frozen=True, repr=False)
class Decorated(Bare):
    """A dataclass."""

    lam: float = 0.1


class WithInit(rt.Penalty):
    """An __init__ of its own."""

    __call__ = Bare.__call__

    def __init__(self, lam: float = 0.1, select: str = "kernel") -> None:
        super().__init__(select=select)
        self.lam = lam


class WithoutStrength(rt.Penalty):
    """Nothing but a formula."""

    def __call__(self, w: Tensor) -> Tensor:
        return 0.1 * w.square().sum()


KINDS: dict[str, rt.Penalty] = {
    "annotations": Bare(),
    "dataclass": Decorated(),
    "own init": WithInit(),
    "no strength": WithoutStrength(),
    "function": rt.Custom(lambda w: w.square().sum(), 0.1),
}


@pytest.mark.parametrize("rule", KINDS.values(), ids=KINDS)
def test_ten_lines_are_a_rule_by_all_three_ways(rule: rt.Penalty):
    check_penalty(rule, smooth=True)
    results = []
    for way in ("reference", 1, 2, 3):
        model, x, y = dense()
        reg = (rt.L2(0.1) if way == "reference" else rule).on(model)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        if way in ("reference", 3):
            reg.attach(optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            (loss + reg() if way == 1 else loss).backward()
            if way == 2:
                reg.add_grad_()
            optimizer.step()
        results.append([p.detach() for p in model.parameters()])
    for found in results[1:]:
        close(found, results[0], rtol=1e-12, atol=1e-14)


def test_they_are_values():
    assert Bare(0.2) == Bare(0.2) != Bare(0.3)
    assert WithInit(0.2) == WithInit(0.2) != WithInit(0.3)
    assert Bare(0.1) != WithInit(0.1)
    assert len({Bare(0.2), Bare(0.2), WithInit(0.2), WithInit(0.2)}) == 2
    assert repr(Bare(0.2, select="bias")) == "Bare(lam=0.2, select='bias')"
    assert repr(WithInit(0.2, select="bias")) == "WithInit(lam=0.2, select='bias')"
    assert repr(rt.Custom(F.mse_loss)) == "Custom(fn=mse_loss, lam=1.0)"
    for rule in (Bare(0.2), WithInit(0.2)):
        assert pickle.loads(pickle.dumps(rule)) == copy.deepcopy(rule) == rule
    model, *_ = dense()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for lam in (0.1, 0.2):
        WithInit(lam).on(model).attach(optimizer)
    with pytest.raises(ValueError, match="already"):
        WithInit(0.2).on(model).attach(optimizer)


def test_rules_that_hold_tensors_and_dicts_are_equal_where_they_hold_the_same_ones():
    for held in (torch.zeros(2), {"w": torch.zeros(2)}):
        assert Named(start=held) == Named(start=held) != Named(start=copy.copy(held))
        assert len({Named(start=held), Named(start=held), Named(start=copy.copy(held))}) == 2
    assert Named(name_of_weight="ab") == Named(name_of_weight="".join(["a", "b"]))


def test_what_is_large_is_printed_short_and_what_is_private_not_at_all():
    assert repr(Named(start=torch.zeros(2, 3))) == "Named(lam=0.1, name_of_weight='', start=<tensor of shape (2, 3)>)"
    assert repr(Named(start={"a": 1, "b": 2})).endswith("start=<2 entries>)")
    rule = WithInit(0.2)
    rule._cache = 1
    assert repr(rule) == "WithInit(lam=0.2)"


def test_a_rule_of_annotations_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Bare(0.2).lam = 0.3


def test_strengths_are_found_checked_and_scaled():
    assert Bare(0.2).strengths == WithInit(0.2).strengths == {"lam": 0.2}
    assert Bare(0.2).scaled(2).strengths == {"lam": 0.4}
    assert rt.L1L2(0.1, 0.2).scaled(2) == rt.L1L2(0.2, 0.4)
    assert not Bare(0.0).active
    assert WithoutStrength().active
    assert WithoutStrength().strengths == {}
    with pytest.raises(TypeError, match="WithoutStrength has no strength to scale"):
        WithoutStrength().scaled(2)
    for wrong in (-1.0, float("nan"), "1", True):
        with pytest.raises((TypeError, ValueError), match="Bare: lam must be a finite number of at least 0"):
            Bare(wrong)


def test_half_precision_weights_are_summed_in_float32():
    model = nn.Linear(4096, 64, bias=False).bfloat16()
    for rule in (Bare(1.0), rt.Custom(lambda w: w.square().sum())):
        value = rule.on(model)()
        assert value.dtype == torch.float32
        close(value, rt.L2(1.0).on(model)())


class Named(rt.Penalty):
    """Asks for its weight's name and value."""

    lam: float = 0.1
    name_of_weight: str = ""
    start: Any = None

    def for_weight(self, name: str, w: Tensor) -> rt.Penalty:
        return Named(self.lam, name, w.clone())

    def __call__(self, w: Tensor) -> Tensor:
        return self.lam * len(self.name_of_weight) * (w - self.start).square().sum()


def test_a_rule_may_ask_for_its_weight_at_binding():
    model, *_ = tied()
    reg = Named(select="all").on(model)
    assert reg() == 0
    with torch.no_grad():
        for p in model.parameters():
            p.add_(1.0)
    for name, value in reg.by_weight().items():
        close(value, torch.tensor(0.1 * len(name) * model.get_parameter(name).numel(), dtype=torch.float64))
    model.zero_grad()
    reg.add_grad_()
    close(model.mix.weight.grad, torch.full((4, 4), 0.2 * len("mix.weight"), dtype=torch.float64))


def test_a_penalty_that_gives_no_number_is_refused_when_it_is_read():
    model, *_ = dense()
    with pytest.raises(TypeError, match=r"received a tensor of shape \(5, 6\) for the weight '0.weight'; sum it"):
        Vector().on(model)()
    with pytest.raises(TypeError, match="received 1.0 for the weight '0.weight'; sum it"):
        rt.Custom(lambda w: 1.0).on(model)()
    with pytest.raises(TypeError, match="fn must be a function of a weight, received 3"):
        rt.Custom(3)


def test_an_activity_of_any_function():
    model, x, _ = dense()
    reg = rt.Activity(lambda h: 0.1 * h.square().sum(), select="type:Tanh").on(model)
    same = rt.Activity(rt.L2(0.1), select="type:Tanh").on(model)
    model(x)
    close(reg(), same())


def test_the_signature_is_known_before_the_first_instance():
    class Fresh(rt.Penalty):
        lam: float = 0.1
        power: int = 2

        def __call__(self, w: Tensor) -> Tensor:
            return self.lam * w.abs().pow(self.power).sum()

    assert list(inspect.signature(Fresh).parameters) == ["lam", "power", "select"]
    assert repr(Fresh(0.2)) == "Fresh(lam=0.2, power=2)"


def test_a_penalty_that_writes_in_place_is_named():
    with pytest.raises(AssertionError, match=r"writes to the weight\n    w = tensor"):
        check_penalty(rt.Custom(lambda w: w.square_().sum(), 0.1))


def test_a_rule_that_is_not_bound_says_so():
    model, *_ = dense()
    with pytest.raises(AttributeError, match=r"'L2' has no attribute 'attach'; bind it first, as in rule.on\(model\)"):
        rt.L2(0.1).attach(optim.SGD(model.parameters(), lr=0.1))
    assert not hasattr(rt.L2(0.1), "lamda")


def test_a_penalty_gets_units_first_unless_it_says_that_they_do_not_matter():
    table = nn.ParameterDict({"w1": torch.ones(2, 3, 4)})
    with pytest.raises(TypeError, match=r"the dim of the output units of the weight 'w1' .* leave it out"):
        Bare(select="all").on(table)
    assert type("Anywhere", (Bare,), {"by_unit": False})(select="all").on(table)() > 0
