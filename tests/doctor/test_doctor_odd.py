"""Whatever is given, `rt.diagnose` gives findings or raises a documented error, and leaves everything as it was."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

import doctor_odd
import regtorch as rt
from doctor_odd import FORMS, INPUTS, LOSSES, NETS, OPTIMIZERS, RULES, SIZES, TARGETS, all_rows

USUAL = {table: next(iter(getattr(doctor_odd, table))) for table in doctor_odd.__all__}


def odd(**rows: str) -> list[rt.Finding] | Exception:
    """What the doctor says, or the documented error that it raises."""
    chosen = {**USUAL, **rows}
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, such as of layers without units
        model = NETS[chosen["NETS"]]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = OPTIMIZERS[chosen["OPTIMIZERS"]](list(model.parameters()))
            rules = RULES[chosen["RULES"]](model)
    except (TypeError, ValueError, RuntimeError) as error:  # torch or the rule itself refuses
        return error
    batches = [(INPUTS[chosen["INPUTS"]](n), TARGETS[chosen["TARGETS"]](n)) for n in SIZES[chosen["SIZES"]]]
    before, random, hooked = state(model), torch.get_rng_state(), hooks(model)
    try:
        found = rt.diagnose(model, LOSSES[chosen["LOSSES"]], FORMS[chosen["FORMS"]](batches), optimizer, rules)
    except (TypeError, ValueError) as error:
        of_a_rule = type(error) is TypeError and re.match(r"(MaxNorm|NonNeg|GroupLasso|Orthogonal|L1|L2): ", str(error))
        if not (str(error).startswith("diagnose: ") or isinstance(error, rt.SelectionError) or of_a_rule):
            raise
        return error
    finally:
        torch.testing.assert_close(state(model), before, rtol=0, atol=0, equal_nan=True)
        assert torch.equal(torch.get_rng_state(), random)
        assert hooks(model) == hooked
    for finding in found:
        assert finding.cause != "measurement_failed", finding.why
        for sentence in (finding.why, finding.change):
            assert not re.search(r"\b(inf|nan)\b", sentence), sentence
    return found


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def state(model: nn.Module) -> dict[str, Tensor]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = {name: t for name, t in tensors.items() if not (t.is_meta or nn.parameter.is_lazy(t))}
    return {name: copy.deepcopy(t.detach()) for name, t in kept.items() if not name.startswith("more.")}


@pytest.mark.sampled(60)
@pytest.mark.parametrize(("table", "row"), list(all_rows()))
def test_one_odd_thing(table: str, row: str):
    odd(**{table: row})


@pytest.mark.parametrize("rule", ["L2", "L1", "groups", "huge", "bound sum", "activity"])
@pytest.mark.parametrize("loss", ["margins that are kept", "0", "sign", "constant with a gradient", "tiny"])
def test_a_gradient_of_0_beside_a_penalty(rule: str, loss: str):
    assert odd(LOSSES=loss, RULES=rule)


@pytest.mark.parametrize("rule", ["not negative", "two", "L2"])
@pytest.mark.parametrize("loss", ["0", "sign", "tiny"])
def test_sparse_targets_are_measured_as_dense_ones(rule: str, loss: str):
    odd(TARGETS="sparse", RULES=rule, LOSSES=loss)


@pytest.mark.parametrize("size", SIZES)
def test_outputs_without_a_dim_of_their_own(size: str):
    odd(NETS="flat", TARGETS="two as floats", LOSSES="BCE of logits", SIZES=size)


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_any_odd_things_together(data: Any):
    tables = data.draw(st.lists(st.sampled_from(doctor_odd.__all__), min_size=2, max_size=4, unique=True))
    odd(**{table: data.draw(st.sampled_from(sorted(getattr(doctor_odd, table))), label=table) for table in tables})


def test_a_rule_that_is_bound_to_another_net_is_refused_and_one_on_a_part_is_not():
    model = NETS["mlp"]()
    batches = [(INPUTS["normal"](32), TARGETS["classes"](32))]
    with pytest.raises(ValueError, match=r"diagnose: L2\(lam=0.1\) on weight is bound to another model"):
        rt.diagnose(model, nn.functional.cross_entropy, batches, rules=[rt.L2(0.1).on(nn.Linear(6, 4))])
    found = rt.diagnose(model, nn.functional.cross_entropy, batches, rules=[rt.L2(10.0).on(model[2])])
    assert found[0].cause in ("penalty_dominates", "collapse")
