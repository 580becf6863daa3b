"""The documents' nets, and two that fit any data: plain modules that return logits."""

from regtorch.app.nets.bn_mlp import BNMLP
from regtorch.app.nets.cifar_deep import CifarDeep
from regtorch.app.nets.cnn import CNN
from regtorch.app.nets.convnet import ConvNet
from regtorch.app.nets.distance import Distance
from regtorch.app.nets.mlp import MLP
from regtorch.app.nets.mnist_mlp import MnistMLP
from regtorch.app.nets.notmnist_mlp import NotMNISTMLP
from regtorch.app.nets.rps import RPS
from regtorch.app.nets.sentiment import Sentiment
from regtorch.app.nets.six_class import SixClass
from regtorch.app.nets.size import count
from regtorch.app.nets.srivastava import Srivastava
from regtorch.app.nets.two_class_mlp import TwoClassMLP
from regtorch.app.nets.vgg16_head import PretrainedWeightsError, VGG16Head
from regtorch.app.nets.window_net import WindowNet

__all__ = [
    "BNMLP",
    "CNN",
    "MLP",
    "RPS",
    "CifarDeep",
    "ConvNet",
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
