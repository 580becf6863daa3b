import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

import regtorch as rt
from bare_trainer import bare_trainer
from plain_modules import OPTIMIZERS, STEPS, Batch, Plain, TwoOptimizers, a_net, batches, fit
from regtorch.app.ground.silence import quiet
from regtorch.training import Regularize, RegularizedModule
from wrong_rules import WRONG

RULES = (rt.L2(0.03), rt.L1(0.01, select="bias"))


def by_hand(
    net: nn.Sequential,
    optimizers: Sequence[torch.optim.Optimizer],
    rules: Sequence[rt.Penalty | rt.Constraint] = RULES,
    epochs: int = 2,
) -> list[tuple[float, float]]:
    """Way 1 in a plain loop; returns (task loss, penalty) of each step."""
    bound = [rule.on(net) for rule in rules if isinstance(rule, rt.Penalty)]
    projected = [rule.on(net) for rule in rules if isinstance(rule, rt.Constraint)]
    seen = []
    for _ in range(epochs):
        for x, y in batches():
            task_loss = nn.functional.cross_entropy(net(x), y)
            penalty = sum(reg() for reg in bound)
            (task_loss + penalty).backward()
            seen.append((task_loss.item(), penalty.item() if isinstance(penalty, torch.Tensor) else penalty))
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            for constraint in projected:
                constraint.project_()
    return seen


def assert_equal(a: nn.Module, b: nn.Module) -> None:
    for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_way_1_in_a_plain_loop(name: str):
    net, reference = a_net(), a_net()
    fit(Plain(net, OPTIMIZERS[name]), Regularize(*RULES))
    by_hand(reference, [OPTIMIZERS[name](reference.parameters())])
    assert_equal(net, reference)


def test_equals_way_1_under_accumulation():
    net, reference = a_net(), a_net()
    # 6 of the 7 batches: Lightning divides a window that an epoch's end cuts short by the full length too.
    fit(Plain(net), Regularize(*RULES), accumulate_grad_batches=3, limit_train_batches=6)
    optimizer = OPTIMIZERS["sgd"](reference.parameters())
    bound = [rule.on(reference) for rule in RULES]
    for _ in range(2):
        for i, (x, y) in zip(range(6), batches(), strict=False):
            ((nn.functional.cross_entropy(reference(x), y) + sum(reg() for reg in bound)) / 3).backward()
            if i % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
    assert_equal(net, reference)


def test_without_rules_nothing_changes():
    net, reference = a_net(), a_net()
    fit(Plain(net), Regularize(rt.L2(0.0)))
    by_hand(reference, [OPTIMIZERS["sgd"](reference.parameters())], rules=())
    assert_equal(net, reference)


def test_several_optimizers_and_manual_optimization_act_once_on_each_weight():
    net, reference = a_net(), a_net()
    fit(TwoOptimizers(net), Regularize(*RULES, rt.MaxNorm(0.7)))
    optimizers = [
        torch.optim.SGD(reference[0].parameters(), lr=0.05),
        torch.optim.SGD(reference[2].parameters(), lr=0.02),
    ]
    by_hand(reference, optimizers, rules=(*RULES, rt.MaxNorm(0.7)))
    assert_equal(net, reference)
    assert rt.MaxNorm(0.7).on(net).violation() < 1e-12


def test_validating_another_module_logs_its_own_penalty():
    first, second = Plain(a_net()), Plain(nn.Sequential(*[nn.Linear(4, 3)]).double())
    callback = Regularize(rt.L2(0.05))
    fit(first, callback, epochs=1)
    trainer = bare_trainer(callback)
    with quiet():
        trainer.validate(second, batches(), verbose=False)
    expected = rt.L2(0.05).on(second.net)().item()
    assert float(trainer.callback_metrics["val/penalty"]) == pytest.approx(expected, rel=1e-6)


def test_two_callbacks_are_refused():
    with pytest.raises(ValueError, match="give all rules to one, as in Regularize"):
        fit(Plain(a_net()), Regularize(rt.L2(0.1)), Regularize(rt.L1(0.1)), epochs=1)


def test_a_second_fit_acts_once_too():
    net, reference = a_net(), a_net()
    callback = Regularize(*RULES)
    module = Plain(net)
    fit(module, callback, epochs=1)
    fit(module, callback, epochs=1)
    for _ in range(2):
        by_hand(reference, [OPTIMIZERS["sgd"](reference.parameters())], epochs=1)
    assert_equal(net, reference)


@pytest.mark.parametrize("fails", [False, True])
def test_detaches_its_rules_at_the_end(fails: bool):
    optimizers = []

    class Keeping(Plain):
        def configure_optimizers(self):
            optimizers.append(super().configure_optimizers())
            return optimizers[-1]

        def training_step(self, batch: Batch, batch_idx: int):
            if fails and batch_idx == 2:
                raise ArithmeticError
            return super().training_step(batch, batch_idx)

    net = a_net()
    module, callback = Keeping(net), Regularize(*RULES)
    if fails:
        with pytest.raises(ArithmeticError):
            fit(module, callback)
    else:
        fit(module, callback)
    before = copy.deepcopy(net)
    optimizer = optimizers[0]
    optimizer.param_groups[0]["momentum"] = 0.0
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert_equal(net, before)


def test_bound_rules_act_on_what_they_are_bound_to():
    net, reference = a_net(), a_net()
    fit(Plain(net), Regularize(rt.L2(0.1).on(net[2]) + rt.L1(0.01).on(net[0])))
    bound = rt.L2(0.1).on(reference[2]) + rt.L1(0.01).on(reference[0])
    optimizer = OPTIMIZERS["sgd"](reference.parameters())
    for _ in range(2):
        for x, y in batches():
            optimizer.zero_grad()
            (nn.functional.cross_entropy(reference(x), y) + bound()).backward()
            optimizer.step()
    assert_equal(net, reference)


def test_proximal_makes_exact_zeros():
    net = a_net()
    fit(Plain(net), Regularize(rt.L1(0.2), proximal=True), epochs=20, log_every_n_steps=100, limit_val_batches=0)
    assert all(share == 1.0 for share in rt.L1(0.2).on(net).sparsity().values())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_logs_the_values_of_a_manual_loop(accumulate: int):
    net, reference = a_net(), a_net()
    trainer = fit(Plain(net), Regularize(*RULES), epochs=1, accumulate_grad_batches=accumulate, limit_train_batches=6)
    seen = by_hand(reference, [OPTIMIZERS["sgd"](reference.parameters())], epochs=1)[:6] if accumulate == 1 else None
    logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
    if seen is not None:
        assert logged["train/task_loss"] == pytest.approx(sum(t for t, _ in seen) / 6, abs=1e-6)
        assert logged["train/penalty"] == pytest.approx(sum(p for _, p in seen) / 6, abs=1e-6)
    with torch.no_grad():
        task_loss = sum(float(nn.functional.cross_entropy(net(x), y)) for x, y in batches()) / STEPS
        penalty = float(sum(rule.on(net)() for rule in RULES))
    assert logged["val/task_loss"] == pytest.approx(task_loss, abs=1e-6)
    assert logged["val/penalty"] == pytest.approx(penalty, abs=1e-6)
    for stage in ("train", "val"):
        assert logged[f"{stage}/loss"] == pytest.approx(logged[f"{stage}/task_loss"] + logged[f"{stage}/penalty"])
    # Lightning's division by the accumulated batches is taken back.
    assert logged["train/task_loss"] == pytest.approx(logged["val/task_loss"], rel=0.3)


def test_computes_the_penalty_only_when_logging_is_due(monkeypatch: pytest.MonkeyPatch):
    calls = []
    compute = Regularize.penalty
    monkeypatch.setattr(Regularize, "penalty", lambda self, device: calls.append(1) or compute(self, device))
    fit(Plain(a_net()), Regularize(*RULES), epochs=1, log_every_n_steps=3)
    assert len(calls) == 5  # the epoch's start, steps 3 and 6, validation, the epoch's end


def test_logs_the_penalty_alone_where_there_is_no_validation_loss():
    class Silent(Plain):
        def validation_step(self, batch: Batch, batch_idx: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    metrics = fit(Silent(a_net()), Regularize(*RULES)).callback_metrics
    assert "val/penalty" in metrics
    assert "val/loss" not in metrics


def test_checkpoints_do_not_contain_it(tmp_path: Path):
    trainer = fit(Plain(a_net()), Regularize(*RULES, rt.MaxNorm(2.0)))
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    checkpoint = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert checkpoint["callbacks"] == {}
    assert list(checkpoint["state_dict"]) == [f"net.{name}" for name in a_net().state_dict()]


def test_an_activity_penalty_is_refused():
    rule = rt.Activity(rt.L1(1e-5), select="type:Tanh")
    for given in (rule, rule.on(a_net())):
        with pytest.raises(TypeError, match=r"training_step.*RegularizedModule"):
            Regularize(given)


def test_objects_that_are_not_rules_are_refused():
    with pytest.raises(TypeError, match=r"rt\.L2\(0\.01\)"):
        Regularize(0.01)


def test_weights_without_an_optimizer_are_an_error():
    class Half(Plain):
        def configure_optimizers(self):
            return torch.optim.SGD(self.net[0].parameters(), lr=0.1)

    with pytest.raises(ValueError, match=r"no optimizer.*configure_optimizers"):
        fit(Half(a_net()), Regularize(rt.L2(0.01, select="name:net.2.weight")))


def test_each_term_of_a_sum_acts_in_the_optimizer_that_owns_it():
    net, twin = a_net(), a_net()
    fit(TwoOptimizers(net), Regularize(rt.L2(0.1).on(net[2]) + rt.L1(0.01).on(net[0])))
    fit(TwoOptimizers(twin), Regularize(rt.L2(0.1).on(twin[2]), rt.L1(0.01).on(twin[0])))
    plain = a_net()
    fit(TwoOptimizers(plain), Regularize(rt.L2(0.0).on(plain[2])))
    for p, q, without in zip(net.parameters(), twin.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q)
        assert p.ndim == 1 or not torch.equal(p, without)


def test_rules_are_checked_at_the_first_step():
    wrong = [WRONG["grad"][0]]
    module = RegularizedModule(a_net(), optimizer=OPTIMIZERS["sgd"], num_classes=3, penalties=wrong, debug=True)
    for net, callbacks in ((Plain(a_net()), [Regularize(*wrong, debug=True)]), (module, [])):
        with pytest.raises(AssertionError, match=r"on the weight '(net\.)?0\.weight': .*has grad"):
            fit(net, *callbacks)
    fit(Plain(a_net()), Regularize(rt.L2(0.1), rt.MaxNorm(1.0), debug=True))
