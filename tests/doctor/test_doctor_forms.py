"""`rt.diagnose` of inputs, targets, outputs and losses of every form."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack  # no public name tells
from torch.utils.data import DataLoader, TensorDataset

import regtorch as rt
from doctor_cases import grave
from doctor_patients import Then, drawn, mlp, shallow, vectors

Nest = Callable[[Any], Any]


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class TwoInputs(nn.Module):
    """Takes two inputs as its `take` says."""

    def __init__(self, take: Callable[..., tuple[Tensor, Tensor]], *behind: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(10, 32), nn.Linear(10, 32)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(32, 4), *behind)
        self.take = take

    def of(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(self.left(left) + self.right(right))


def taking(forward: Callable[..., Any]) -> Callable[..., nn.Module]:
    """A net with this forward."""
    kind = type("Net", (TwoInputs,), {"forward": forward})
    return lambda *behind: kind(lambda: None, *behind)


POSITIONAL = taking(lambda net, left, right: net.of(left, right))
SIGNATURES: dict[str, tuple[Callable[..., nn.Module], Nest]] = {
    "positional, a tuple": (POSITIONAL, lambda x: x),
    "positional, a list": (POSITIONAL, list),
    "positional, a named tuple": (POSITIONAL, lambda x: Pair(*x)),
    "positional, a dict": (POSITIONAL, lambda x: {"right": x[1], "left": x[0]}),
    "positional, arguments and keywords": (POSITIONAL, lambda x: ((x[0],), {"right": x[1]})),
    "the second has a default": (taking(lambda net, left, right=None: net.of(left, right)), lambda x: x),
    "any number": (taking(lambda net, *x: net.of(*x)), lambda x: x),
    "a keyword": (taking(lambda net, left, *, right: net.of(left, right)), lambda x: (x[0], {"right": x[1]})),
    "any keywords": (taking(lambda net, **x: net.of(**x)), lambda x: {"left": x[0], "right": x[1]}),
    "a tuple": (taking(lambda net, x: net.of(*x)), lambda x: x),
    "a named tuple": (taking(lambda net, x: net.of(x.left, x.right)), lambda x: Pair(*x)),
    "a dict": (taking(lambda net, x: net.of(x["a"], x["b"])), lambda x: {"a": x[0], "b": x[1]}),
    "something beside": (taking(lambda net, left, right, name: net.of(left, right)), lambda x: (*x, "a.png")),
}


def halves() -> list[tuple[tuple[Tensor, Tensor], Tensor]]:
    return [((x[:, :10], 500 * x[:, 10:]), y) for x, y in vectors()]


@pytest.mark.parametrize("case", SIGNATURES)
def test_several_inputs_reach_the_net_as_its_signature_says(case: str):
    net, nest = SIGNATURES[case]
    found = rt.diagnose(net(nn.Softmax(1)), F.cross_entropy, [(nest(x), y) for x, y in halves()])
    assert set(grave(found)) == {"input_scale", "softmax_before_cross_entropy"}
    (scale,) = (finding for finding in found if finding.cause == "input_scale")
    assert scale.where in {f"input {name}: inputs" for name in ("1", "right", "1.right", "b")}
    assert 400 < scale.numbers["rms"] < 600
    assert "tried" in scale.change


def test_parts_in_order_are_inputs_and_the_last_the_target():
    batches = [(left, right, y) for (left, right), y in halves()]
    x, z, y = (torch.cat(parts) for parts in zip(*batches, strict=True))
    loader = DataLoader(TensorDataset(x, z, y), 32)
    for given_ in (batches, loader):
        for loss in (F.cross_entropy, "cross_entropy"):
            assert set(grave(rt.diagnose(POSITIONAL(), loss, given_))) == {"input_scale"}


LEVELS = {"list": (lambda x: [x], lambda x: x[0]), "tuple": (lambda x: (x,), lambda x: x[0])}
LEVELS |= {"dict": (lambda x: {"x": x}, lambda x: x["x"]), "with a name": (lambda x: [x, None], lambda x: x[0])}


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=settings().max_examples // 4)
@given(st.lists(st.sampled_from(sorted(LEVELS)), max_size=4), st.sampled_from([0.001, 1.0, 1000.0]), st.booleans())
def test_any_nest_of_one_input_gives_the_findings_of_the_flat_form(levels: list[str], scale: float, ill: bool):
    def nested(x: Any) -> Any:
        for level in levels:
            x = LEVELS[level][0](x)
        return x

    def unnested(x: Any) -> Any:
        for level in reversed(levels):
            x = LEVELS[level][1](x)
        return x

    found: list[list[rt.Finding]] = []
    for nest, unnest in ((lambda x: x, lambda x: x), (nested, unnested)):
        torch.manual_seed(0)
        model = Then(mlp(*[nn.Softmax(1)] * ill), before=unnest)
        found.append(rt.diagnose(model, "cross_entropy", [(nest(scale * x), y) for x, y in vectors()]))
    assert found[0] == found[1]


SAME: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a list": lambda x, y: [x, y],
    "a dict": lambda x, y: {"image": x, "label": y},
    "NumPy's": lambda x, y: (x.double().numpy(), y.numpy()),
    "NumPy's, not writable": lambda x, y: (np.broadcast_to(x.numpy(), x.shape), y.numpy()),
    "a target in a dict": lambda x, y: (x, {"class": y}),
    "a target beside others": lambda x, y: (x, {"number": torch.arange(len(y)), "class": y}),
}


@pytest.mark.parametrize("case", SAME)
def test_another_form_of_batches_gives_the_same_findings(case: str):
    inside = "target" in case
    loss = (lambda o, y: F.cross_entropy(o, y["class"])) if inside else F.cross_entropy
    for ill in ([], [nn.Softmax(1)]):
        found: list[list[rt.Finding]] = []
        for form, of in ((SAME[case], loss), (lambda x, y: (x, y), F.cross_entropy)):
            torch.manual_seed(0)
            found.append(rt.diagnose(mlp(*ill), of, [form(x, y) for x, y in vectors()]))
        assert found[0] == found[1]


@pytest.mark.parametrize(("net", "other"), [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_tensors_of_another_dtype_fail_as_in_training(net: torch.dtype, other: torch.dtype):
    (found,) = rt.diagnose(mlp().to(net), F.cross_entropy, [(x.to(other), y) for x, y in vectors()])
    assert found.cause == "model_fails"
    assert found.change.startswith(f"The inputs are {other} and the weights {net}: pass `x.to({net})`")


# Losses


def test_losses_by_name_and_what_is_told_of_others():
    for name in ("cross_entropy", "CrossEntropyLoss", "cross-entropy"):
        assert rt.diagnose(shallow(), name, vectors()) == rt.diagnose(shallow(), F.cross_entropy, vectors())
    assert grave(rt.diagnose(mlp(out=1), "mse_loss", [(x, x[:, :1]) for x, _ in vectors()])) == {}


WRONG: dict[str, tuple[Any, Any, str]] = {
    "a name": ("cros_entropy", None, "loss_fn='cros_entropy' is unknown; did you mean 'cross_entropy'"),
    "a name of Keras's": ("mean_gini", None, r"known are cross_entropy, .* pass rt.keras.loss\(name\)"),
    "a class": (nn.CrossEntropyLoss, None, r"received the class CrossEntropyLoss; .* CrossEntropyLoss\(\)"),
    "no losses": ({}, None, "loss_fn must be a function of output and target, a loss's name, or a dict"),
    "no loss": (None, None, "a loss's name such as 'cross_entropy', received None"),
    "no batches": (F.cross_entropy, 3, "batches must be a list or loader .* received a int"),
    "a pair": (F.cross_entropy, vectors()[0], r"received one pair; pass \[\(input, target\)\]"),
    "a data set": (F.cross_entropy, TensorDataset(torch.zeros(3)), "the TensorDataset, whose items are samples"),
    "a dict of tensors": (F.cross_entropy, {"x": torch.zeros(3)}, "received a dict"),
    "no target": (F.cross_entropy, [(torch.zeros(3, 20), None)], r"NoneType; for a net .* pass \(x, x\)"),
    "a list of numbers": (F.cross_entropy, [(torch.zeros(2, 20), [0, 1])], r"'0' of type int; pass torch.as_tensor"),
    "words": (F.cross_entropy, [(np.array(["a", "b"]), torch.zeros(2))], "a NumPy array of dtype <U1"),
    "four parts": (F.cross_entropy, [(torch.zeros(2, 20),) * 4], r"a tuple of 4; put .* \(\(a, b\), \(y, z\)\)"),
    "a dict without a target": (
        F.cross_entropy,
        [{"x": torch.zeros(2, 20), "digit": torch.zeros(2)}],
        "a dict with the keys 'x', 'digit'; call the target one of 'labels', 'label'",
    ),
    "inputs alone": (F.cross_entropy, [torch.zeros(2, 20)], r"a Tensor; .* a loss that needs no target, pass \(x, x\)"),
    "names of classes": (F.cross_entropy, [(torch.zeros(2, 20), ["a", "b"])], "number the classes from 0"),
    "samples": (F.cross_entropy, [(torch.zeros(20), 1)], r"instead of samples: DataLoader\(samples, batch_size=32\)"),
    "the arguments swapped": (vectors(), F.cross_entropy, "a loss's name, .* batches come third"),
    "weights": ("mse", [(torch.zeros(2, 20), torch.zeros(2, 4), torch.ones(3))], "one weight for each of 2 samples"),
    "weights that a loss does not take": (F.mse_loss, [(torch.zeros(2, 20),) * 3], "received a tuple of 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_told(case: str):
    loss, batches, message = WRONG[case]
    with pytest.raises((TypeError, ValueError), match=rf"^diagnose: .*{message}"):
        rt.diagnose(shallow(), loss, vectors() if batches is None else batches)


def test_arguments_of_the_wrong_type_come_with_what_to_pass():
    for wrong, message in (
        ({"model": nn.Linear}, "received the class Linear; pass an object of it"),
        ({"optimizer": torch.optim.Adam}, r"received type; pass an object such as Adam\(model.parameters\(\)\)"),
        ({"optimizer": "adam"}, r"received str; pass an object such as torch.optim.Adam\(model.parameters\(\)\)"),
        ({"optimizer": [rt.L2(0.1)]}, "received list$"),
        ({"rules": rt.L2(0.1)}, r"received L2\(lam=0.1\); pass \[L2\(lam=0.1\)\]"),
    ):
        usual: dict[str, Any] = {"model": shallow(), "loss_fn": F.cross_entropy, "batches": vectors()}
        with pytest.raises(TypeError, match=message):
            rt.diagnose(**{**usual, **wrong})


# What is left behind


class Counting(nn.Module):
    def __init__(self, stop: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4))
        self.calls, self.seen, self.last, self.stop = 0, [], torch.zeros(()), [0, stop]

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        self.stop[0] += 1
        if self.stop[0] == self.stop[1]:
            raise KeyboardInterrupt
        self.calls += 1
        self.seen.append(left)
        self.last += 1
        self.late = right
        return self.inner(left + right).softmax(1)


@pytest.mark.parametrize("stop", [0, 1, 2, 3, 5, 9, 14, 20, 30, 42, 60, 90, 130])
def test_all_is_as_it_was_even_after_ctrl_c(stop: int):
    model = Counting(stop)
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1)
    generator = drawn(3)
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    loader = DataLoader(TensorDataset(x, x, y), 32, shuffle=True, generator=generator)

    def words() -> str:
        modules = [
            (len(m._forward_hooks), len(m._forward_pre_hooks), m.training, sorted(vars(m))) for m in model.modules()
        ]
        return str((modules, model.calls, model.seen, model.last, random.getstate(), np.random.get_state()[1].tolist()))

    def tensors() -> Any:
        generators = torch.get_rng_state(), generator.get_state()
        return copy.deepcopy(
            (model.state_dict(), optimizer.state_dict(), generators, [p.grad for p in model.parameters()])
        )

    before = words(), tensors()
    with pytest.raises(KeyboardInterrupt) if stop else nullcontext():
        rt.diagnose(model, "cross_entropy", loader, optimizer, [rt.L2(0.1)])
    assert words() == before[0]
    torch.testing.assert_close(tensors(), before[1], rtol=0, atol=0)
    assert _get_current_function_mode_stack() == []
