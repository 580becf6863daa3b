"""The documents' nets: plain modules that return logits."""

from regtorch.models.cnn import CNN
from regtorch.models.mnist_mlp import MnistMLP
from regtorch.models.size import count

__all__ = ["CNN", "MnistMLP", "count"]
