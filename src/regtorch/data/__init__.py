"""Data sets as LightningDataModules that keep their arrays in memory."""

from regtorch.data.arrays import ArraysDataModule
from regtorch.data.augment import Augment
from regtorch.data.cifar10 import CIFAR10
from regtorch.data.digits import Digits
from regtorch.data.errors import DataError
from regtorch.data.mnist import MNIST, FashionMNIST

__all__ = ["CIFAR10", "MNIST", "ArraysDataModule", "Augment", "DataError", "Digits", "FashionMNIST"]
