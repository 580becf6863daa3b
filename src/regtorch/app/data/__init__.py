"""Data sets as LightningDataModules that keep their arrays in memory."""

from regtorch.app.data.augment import Augment
from regtorch.app.data.cats_dogs import CatsDogs
from regtorch.app.data.cifar10 import CIFAR10
from regtorch.app.data.csv_file import Csv
from regtorch.app.data.data_errors import DataError
from regtorch.app.data.datamodule import ArraysDataModule
from regtorch.app.data.digits import Digits
from regtorch.app.data.distance import Distance
from regtorch.app.data.image_folder import ImageFolders
from regtorch.app.data.mnist import MNIST, FashionMNIST
from regtorch.app.data.notmnist import NotMNIST
from regtorch.app.data.npz import Npz
from regtorch.app.data.rps import RockPaperScissors
from regtorch.app.data.sentiment import Sentiment
from regtorch.app.data.windows import Windows

__all__ = [
    "CIFAR10",
    "MNIST",
    "ArraysDataModule",
    "Augment",
    "CatsDogs",
    "Csv",
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
