"""`rt.diagnose` of transformers' nets and Trainer and of skorch's nets, where these are installed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import regtorch as rt
from doctor_cases import grave
from doctor_patients import drawn, mlp

SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


def tokens(samples: int = 32) -> dict[str, Tensor]:
    x = torch.randint(3, 50, (samples, 8), generator=drawn(samples))
    return {"input_ids": x, "attention_mask": torch.ones_like(x), "labels": (x % 7 == 0).any(1).long()}


class Tokens(Dataset[dict[str, Tensor]]):
    def __init__(self) -> None:
        self.of = tokens(96)

    def __len__(self) -> int:
        return 96

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {name: part[index] for name, part in self.of.items()}


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed")


def bert(transformers: Any, kind: str = "SequenceClassification", **more: Any) -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, **SIZES, **more)
    return getattr(transformers, f"BertFor{kind}")(config)


def sgd(model: nn.Module, lr: float = 1e-12) -> Any:
    return torch.optim.SGD(model.parameters(), lr)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "more", "labels"),
    [
        ("SequenceClassification", {}, lambda b: b["labels"]),
        ("SequenceClassification", {"num_labels": 1}, lambda b: b["labels"].float()),
        (
            "SequenceClassification",
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            lambda b: (b["input_ids"][:, :3] > 25).float(),
        ),
        ("TokenClassification", {"num_labels": 3}, lambda b: b["input_ids"] % 3),
    ],
)
def test_a_net_of_transformers_uses_its_own_loss(transformers: Any, kind: str, more: Any, labels: Any):
    batches = [{**b, "labels": labels(b)} for b in [tokens(n) for n in (30, 31, 32)]]
    found = rt.diagnose(bert(transformers, kind, **more), None, batches)
    assert "outputs_together" not in [finding.cause for finding in found]
    assert "severe" not in grave(found).values()
    model = bert(transformers, kind, **more)
    assert "rate_too_small" in grave(rt.diagnose(model, None, batches, sgd(model)))


@pytest.mark.filterwarnings("ignore")
def test_a_language_model_and_a_given_loss(transformers: Any):
    config = transformers.GPT2Config(vocab_size=50, n_positions=16, n_embd=16, n_layer=2, n_head=2)
    batches = [{"input_ids": b["input_ids"], "labels": b["input_ids"]} for b in [tokens(), tokens(33)]]
    found = rt.diagnose(transformers.GPT2LMHeadModel(config), None, batches, rules=[rt.L2(10.0)])
    assert found[0].cause == "collapse"
    assert "outputs_together" not in [finding.cause for finding in found]
    pairs = [({"input_ids": b["input_ids"]}, b["labels"]) for b in [tokens(), tokens(33)]]
    model = bert(transformers)
    found = rt.diagnose(model, lambda o, y: F.cross_entropy(o.logits, y), pairs, sgd(model))
    assert "rate_too_small" in grave(found)
    assert "outputs_together" not in [finding.cause for finding in found]


@pytest.mark.filterwarnings("ignore")
def test_transformers_trainer_is_read_and_left_as_it_was(transformers: Any, tmp_path: Path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")

    def trainer(kind: Any = transformers.Trainer, **more: Any) -> Any:
        options: dict[str, Any] = {"report_to": [], "use_cpu": True, "per_device_train_batch_size": 32, **more}
        arguments = transformers.TrainingArguments(output_dir=str(tmp_path), **options)
        return kind(bert(transformers), arguments, train_dataset=Tokens())

    class Weighted(transformers.Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
            outputs = model(**{name: part for name, part in inputs.items() if name != "labels"})
            loss = F.cross_entropy(outputs.logits, inputs["labels"], weight=torch.tensor([1.0, 3.0]))
            return (loss, outputs) if return_outputs else loss

    one = trainer()
    before, random = copy.deepcopy(one.model.state_dict()), torch.get_rng_state()
    held, prepared = dict(vars(one)), list(one.accelerator._dataloaders)
    assert grave(rt.diagnose(one)) == {}
    torch.testing.assert_close(one.model.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(vars(one)[name] is part for name, part in held.items())
    assert one.accelerator._dataloaders == prepared
    assert grave(rt.diagnose(trainer(learning_rate=1e-12))) == {"rate_too_small": "severe"}
    assert [f.cause for f in rt.diagnose(trainer(label_smoothing_factor=0.1)) if f.cause == "outputs_together"] == []
    assert [f.cause for f in rt.diagnose(trainer(Weighted)) if f.cause == "outputs_together"] == ["outputs_together"]
    one.create_optimizer()
    rt.L2(100.0).on(one.model).attach(one.optimizer)
    assert set(grave(rt.diagnose(one))) & {"collapse", "penalty_dominates"}
    with pytest.raises(TypeError, match="loss_fn must be None for a Trainer"):
        rt.diagnose(one, F.cross_entropy)


@pytest.mark.filterwarnings("ignore")
def test_a_net_of_skorchs():
    skorch = pytest.importorskip("skorch", reason="skorch is not installed")

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp(nn.Softmax(1))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)

    x = np.random.default_rng(0).standard_normal((256, 20)).astype(np.float32)
    y = x[:, :4].argmax(1)
    net = skorch.NeuralNetClassifier(Net, lr=0.1, batch_size=32, verbose=0)
    with pytest.raises(ValueError, match=r"call net.initialize\(\) first"):
        rt.diagnose(net, None, (x, y))
    net.initialize()
    assert grave(rt.diagnose(net, None, (x, y))) == {}, "its criterion takes probabilities"
    net = skorch.NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, lr=0.1, batch_size=32, verbose=0).initialize()
    for given in ((x, y), ({"x": x}, y)):
        assert "softmax_before_cross_entropy" in grave(rt.diagnose(net, given))
