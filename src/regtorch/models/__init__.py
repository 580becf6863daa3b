"""The documents' nets: plain modules that return logits."""

from regtorch.models.bn_mlp import BNMLP
from regtorch.models.cifar_deep import CifarDeep
from regtorch.models.cnn import CNN
from regtorch.models.distance import Distance
from regtorch.models.mnist_mlp import MnistMLP
from regtorch.models.notmnist_mlp import NotMNISTMLP
from regtorch.models.rps import RPS
from regtorch.models.sentiment import Sentiment
from regtorch.models.six_class import SixClass
from regtorch.models.size import count
from regtorch.models.srivastava import Srivastava
from regtorch.models.two_class_mlp import TwoClassMLP
from regtorch.models.vgg16_head import PretrainedWeightsError, VGG16Head
from regtorch.models.window_net import WindowNet

__all__ = [
    "BNMLP",
    "CNN",
    "RPS",
    "CifarDeep",
    "Distance",
    "MnistMLP",
    "NotMNISTMLP",
    "PretrainedWeightsError",
    "Sentiment",
    "SixClass",
    "Srivastava",
    "TwoClassMLP",
    "VGG16Head",
    "WindowNet",
    "count",
]
