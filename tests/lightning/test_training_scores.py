import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy

from regtorch.lightning import scores
from regtorch.lightning.scores import Score
from regtorch.lightning.tasks import classification


def metric() -> MulticlassAccuracy:
    made = classification(3).metric()
    assert isinstance(made, MulticlassAccuracy)
    return made


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(1, 30))
def test_the_metric_sees_every_batch_once(sizes: list[int], most: int) -> None:
    direct, waiting = metric(), metric()
    score = Score(waiting, lambda outputs: outputs)
    before, scores._MOST = scores._MOST, most
    try:
        for size in sizes:
            outputs, labels = torch.randn(size, 3), torch.randint(3, (size,))
            direct.update(outputs, labels)
            score.add(outputs, labels)
    finally:
        scores._MOST = before
    assert torch.equal(score.metric().compute(), direct.compute())
    assert torch.equal(score.metric().compute(), direct.compute()), "asking twice counts once"


def test_does_not_keep_the_graph() -> None:
    score = Score(metric(), lambda outputs: outputs)
    outputs = torch.randn(4, 3, requires_grad=True) * 2
    score.add(outputs, torch.zeros(4, dtype=torch.int64))
    assert all(not kept.requires_grad for kept, _ in score._waiting)
