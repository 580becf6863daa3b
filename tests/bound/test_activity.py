from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import regtorch as rt
from regtorch.select.language import SelectionError

close = torch.testing.assert_close


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).double()


X = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(model: nn.Sequential, x: Tensor = X) -> Tensor:
    """0.1 Σ|output| of both activations, divided by the batch size."""
    first = torch.relu(model[0](x))
    second = torch.relu(model[2](first))
    return 0.1 * (first.abs().sum() + second.abs().sum()) / len(x)


def test_is_the_outputs_penalty_over_the_batch_size():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    close(reg(), by_hand(model))
    close(reg(), by_hand(model))  # reading twice changes nothing
    assert list(reg.by_weight()) == ["1", "3"]
    reg().backward()
    gradient = model[0].weight.grad.clone()
    model.zero_grad()
    by_hand(model).backward()
    close(gradient, model[0].weight.grad)


def test_a_new_forward_pass_starts_anew_and_those_of_one_loss_add_up():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    reg()
    model(X[:4])
    close(reg(), by_hand(model, X[:4]))
    outputs = model(X), model(X[:4])  # two calls in one step, as siamese nets make them
    both = by_hand(model) + by_hand(model, X[:4])
    close(reg(), both)
    del outputs
    close(reg(), both)  # reading again changes nothing
    loss = (model(X).square().mean() - model(X[:4]).square().mean()).square()
    close(reg(), both)  # the loss alone holds the outputs
    loss.backward()
    with torch.no_grad():
        outputs = model(X), model(X[:4])
        close(reg(), both)
    assert len(outputs) == 2


def test_a_pass_that_nobody_reads_does_not_count_with_the_next():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    model(X[:4])
    close(reg(), by_hand(model, X[:4]))
    for _ in range(3):
        out = model(X)  # the variable holds the one before during the call
    close(reg(), by_hand(model))
    out = model(X)
    out.sum().backward()
    kept = model(X[:2])
    close(reg(), by_hand(model, X[:2]))
    model.eval()
    unread = model(X)  # a validation without no_grad
    model.train()
    model(X[:4])
    close(reg(), by_hand(model, X[:4]))
    assert kept.requires_grad
    assert unread.requires_grad


class Fails(nn.Module):
    """Raises once."""

    error: type[BaseException] | None = None

    def forward(self, x: Tensor) -> Tensor:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return x


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("nested", [False, True])
def test_a_pass_that_raised_does_not_count(error: type[BaseException], nested: bool):
    plain = net()
    inner = nn.Sequential(*plain, Fails())
    model = nn.Sequential(inner) if nested else inner
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    for _ in range(2):
        inner[-1].error = error
        with pytest.raises(error):
            model(X)
        out = model(X[:4])
        close(reg(), by_hand(plain, X[:4]))
        assert out.requires_grad


def test_a_net_that_calls_itself_is_one_pass():
    class Tree(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.act = nn.Linear(4, 4).double(), nn.ReLU()

        def forward(self, x: Tensor, depth: int = 2) -> Tensor:
            h = self.act(self.linear(x))
            return self(h, depth - 1) if depth else h

    model = Tree()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    for _ in range(2):
        h, expected = X, 0.0
        for _ in range(3):
            h = torch.relu(model.linear(h))
            expected = expected + 0.1 * h.sum() / len(X)
        model(X)
        close(reg(), expected)


def test_parts_called_by_hand_make_one_pass():
    model = nn.ModuleDict({"body": nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "head": nn.Sequential(nn.ReLU())})
    model.double()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    for _ in range(2):
        h = model["body"](X)
        out = model["head"](h)
        close(reg(), 0.1 * (h.sum() + out.sum()) / len(X))


def test_integers_have_no_penalty():
    class Codes(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            return x, x.argmax(1), x > 0

    model = Codes()
    reg = rt.Activity(rt.L2(1.0), select="all").on(model)
    model(torch.ones(4, 3))
    assert reg() == 3


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_net():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    compiled = torch.compile(model, backend="eager")
    for rows in (8, 8, 4):
        compiled(X[:rows])
        close(reg(), by_hand(model, X[:rows]))


def test_validation_in_between_leaves_no_trace():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    with torch.no_grad():
        model(X)
        model(X)
    model(X[:4])
    close(reg(), by_hand(model, X[:4]))
    with torch.no_grad():
        model(X)
        close(reg(), by_hand(model))


def test_select_speaks_of_modules():
    model = net()
    assert list(rt.Activity(rt.L1(0.1), select="name:3").on(model).modules) == ["3"]
    assert list(rt.Activity(rt.L1(0.1), select="all -type:Linear").on(model).modules) == ["1", "3"]
    assert list(rt.Activity(rt.L1(0.1), select="all").on(nn.ReLU()).modules) == [""]
    for select in ("kernel", "largest:2"):
        with pytest.raises(SelectionError, match="must match modules"):
            rt.Activity(rt.L1(0.1), select=select).on(model)
    with pytest.raises(SelectionError, match=r"no module; there are: \(the network\) \(Sequential\), 0 \(Linear\)"):
        rt.Activity(rt.L1(0.1), select="type:GELU").on(model)
    with pytest.raises(TypeError, match="select"):
        rt.Activity(rt.L1(0.1))


def test_only_way_1():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for call in (reg.add_grad_, lambda: reg.attach(optimizer), lambda: (rt.L2(0.1).on(model) + reg).attach(optimizer)):
        with pytest.raises(TypeError, match="way 1"):
            call()
    assert not optimizer._optimizer_step_pre_hooks


def test_in_a_sum():
    model = net()
    weights = rt.L2(0.1).on(model)
    total = weights + rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    close(total(), weights() + by_hand(model))
    total.scale = 0.5
    close(total(), 0.5 * (weights() + by_hand(model)))
    assert "the outputs of 2 modules" in total.receipt()
    assert total.sparsity() == weights.sparsity()


def test_before_the_first_forward_pass():
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(net())
    with pytest.raises(RuntimeError, match="run the forward pass first"):
        reg()


def test_strength_zero_and_removal():
    model = net()
    off = rt.Activity(rt.L1(0.0), select="type:ReLU").on(model)
    model(X)
    assert off() == 0
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    reg.remove()
    model(X[:2])
    close(reg(), by_hand(model))


def test_warm_up_from_scale_zero():
    model = net()
    reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    for scale in (0.0, 0.0, 1.0, 0.5):
        reg.scale = scale
        model.zero_grad()
        (model(X).sum() + reg()).backward()
        assert len(reg._passes.read()) == 2
    model(X)
    close(reg(), 0.5 * by_hand(model))


def test_gradient_checkpointing():
    for reentrant in (False, True):
        model = net()
        reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
        for _ in range(3):
            model.zero_grad()
            output = checkpoint(model, X.clone().requires_grad_(), use_reentrant=reentrant)
            if reentrant:
                with pytest.raises(RuntimeError, match="use_reentrant=False"):
                    reg()
                break
            value = reg()
            close(value, by_hand(model))
            (output.sum() + value).backward()


def test_outputs_in_tuples_and_dicts():
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, dict[str, int]]:
            return 2 * x, {}

    model = Two()
    reg = rt.Activity(rt.L2(1.0), select="all").on(model)
    model(torch.ones(4, 3))
    assert reg() == 12
    recurrent = nn.LSTM(3, 2, batch_first=True)
    reg = rt.Activity(rt.L1(1.0), select="all").on(recurrent)
    output, _ = recurrent(torch.ones(4, 5, 3))
    close(reg(), output.abs().sum() / 4)  # the first tensor; states inside the inner tuple are no outputs


def test_a_copied_net_watches_itself():
    model = net()
    model.reg = rt.Activity(rt.L1(0.1), select="type:ReLU").on(model)
    model(X)
    twin = copy.deepcopy(model)
    twin(X[:2])
    close(twin.reg(), by_hand(twin, X[:2]))
    close(model.reg(), by_hand(model))


def test_bad_input():
    with pytest.raises(TypeError, match="penalty must be a regtorch rule"):
        rt.Activity(0.1, select="all")
    with pytest.raises(TypeError, match="output must be a tensor with a batch dim"):
        rt.Activity(rt.L1(0.1), select="all")(torch.tensor(1.0))
