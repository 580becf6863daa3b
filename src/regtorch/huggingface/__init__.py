"""Callbacks for Hugging Face's Trainer: `RegularizeCallback` adds rules, `Doctor` watches the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regtorch.huggingface.doctor import Doctor

if TYPE_CHECKING:
    from regtorch.huggingface.regularize import RegularizeCallback

__all__ = ["Doctor", "RegularizeCallback"]


def __getattr__(name: str) -> Any:
    """`RegularizeCallback` derives from a class of transformers, which is imported with it alone."""
    if name == "RegularizeCallback":
        from regtorch.huggingface.regularize import RegularizeCallback

        return RegularizeCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
