"""Callbacks for Hugging Face's Trainer: `RegularizeCallback` adds rules, `Doctor` watches the training."""

from regtorch.huggingface.doctor import Doctor
from regtorch.huggingface.regularize import RegularizeCallback

__all__ = ["Doctor", "RegularizeCallback"]
