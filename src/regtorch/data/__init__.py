"""Data sets as LightningDataModules that keep their arrays in memory."""

from regtorch.data.augment import Augment
from regtorch.data.cats_dogs import CatsDogs
from regtorch.data.cifar10 import CIFAR10
from regtorch.data.datamodule import ArraysDataModule
from regtorch.data.digits import Digits
from regtorch.data.distance import Distance
from regtorch.data.errors import DataError
from regtorch.data.image_folder import ImageFolders
from regtorch.data.mnist import MNIST, FashionMNIST
from regtorch.data.notmnist import NotMNIST
from regtorch.data.npz import Npz
from regtorch.data.rps import RockPaperScissors
from regtorch.data.sentiment import Sentiment
from regtorch.data.windows import Windows

__all__ = [
    "CIFAR10",
    "MNIST",
    "ArraysDataModule",
    "Augment",
    "CatsDogs",
    "DataError",
    "Digits",
    "Distance",
    "FashionMNIST",
    "ImageFolders",
    "NotMNIST",
    "Npz",
    "RockPaperScissors",
    "Sentiment",
    "Windows",
]
