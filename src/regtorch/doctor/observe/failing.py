"""What to do about an error that the net or its loss raises, told from what they were given."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from regtorch.doctor.finding import fmt
from regtorch.doctor.observe.pairs import Passed, text_of

__all__ = ["loss_advice", "net_advice"]

_INPUTS = "Check the shape, dtype and device of the inputs against what this module expects."
_LOSS = "Pass outputs and targets of the shapes and dtypes that the loss expects."
_CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}


def net_advice(error: Exception, x: Any, model: nn.Module, module: nn.Module | None, received: Any) -> str:
    """The advice for an error of a net called with `x`, which `module` raised when it got `received`."""
    of_module = _layer(module, received) if module is not None and isinstance(received, Tensor) else None
    return of_module or _other_dtype(x, model, error) or _signature(error, x, model) or _text(error, x) or _INPUTS


def _layer(module: nn.Module, x: Tensor) -> str | None:
    shape = list(x.shape)
    if isinstance(module, nn.Embedding):
        if x.is_floating_point():
            return f"The ids are {x.dtype}: pass whole numbers, `x.long()`."
        if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < module.num_embeddings:
            return (
                f"The ids range from {int(x.min())} to {int(x.max())}, and the embedding has {module.num_embeddings} "
                f"rows, for ids from 0 to {module.num_embeddings - 1}: give it a row for each id, `num_embeddings`, or "
                "look for ids of another vocabulary."
            )
    if isinstance(module, nn.Linear) and shape and shape[-1] != module.in_features:
        wanted = f"The layer takes {module.in_features} numbers in the last dim and gets a batch of shape {shape}: "
        if len(shape) > 2 and prod(shape[1:]) == module.in_features:
            return wanted + "flatten each sample first, with nn.Flatten() or `x.flatten(1)`."
        if len(shape) > 2:
            return wanted + f"flatten first, if each sample is to be one row, and use in_features={prod(shape[1:])}."
        return wanted + f"use in_features={shape[-1]}, or look for what changes the shape before it."
    dims = next((dims for kind, dims in _CONVOLUTIONS.items() if isinstance(module, kind)), None)
    if dims is not None:
        return _channels(int(getattr(module, "in_channels", 0)), dims, shape)
    return None


def _channels(channels: int, dims: int, shape: list[int]) -> str | None:
    full = len(shape) == dims + 2
    if full and shape[1] == channels:
        return None
    wanted = f"The layer takes {channels} channels in dim 1 and gets a batch of shape {shape}: "
    if full and shape[-1] == channels:
        return wanted + "channels come last, so pass `x.movedim(-1, 1)`."
    if len(shape) == dims + 1 and channels == 1:
        return wanted + "it has no dim of channels, so pass `x.unsqueeze(1)`."
    if full:
        return wanted + f"use in_channels={shape[1]}, or look for what changes the shape before it."
    return wanted + f"pass inputs with {dims + 2} dims: samples, channels and places."


def _other_dtype(x: Any, model: nn.Module, error: Exception) -> str | None:
    """The advice for floats in another dtype than the weights', if the error is about that."""
    wanted = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    found = (part.dtype for part in _parts(x) if isinstance(part, Tensor) and part.dtype != wanted)
    other = sorted(found, key=lambda dtype: not dtype.is_floating_point)
    same = any(words in text_of(error) for words in ("same dtype", "expected scalar type", "should be the same"))
    if wanted is None or not other or not same:
        return None
    or_other = f", or `model.to({other[0]})`" if other[0].is_floating_point else ""
    return f"The inputs are {other[0]} and the weights {wanted}: pass `x.to({wanted})`{or_other}."


def _signature(error: Exception, x: Any, model: nn.Module) -> str | None:
    """The names that `forward` takes, if a batch has others."""
    if not isinstance(error, TypeError) or not isinstance(x, Mapping) or "argument" not in text_of(error):
        return None
    takes = [name for name in inspect.signature(model.forward).parameters if name != "self"]
    return f"forward takes {', '.join(takes)}, and a batch has {', '.join(map(str, x))}: give both the same names."


def _text(error: Exception, x: Any) -> str | None:
    """The advice that the words of an error give."""
    if re.search(r"Target -?\d+ is out of bounds", text_of(error)):
        return "A label is no number of an output: number the classes from 0, and give the net an output for each."
    if "did not return a loss" in text_of(error):
        return 'The net computes a loss only if a sample has a target: add it to each, under "labels".'
    strings = [part for part in _parts(x) if _first(part).__class__ is str]
    return "The inputs are strings: turn them into numbers, such as the ids of a tokenizer." if strings else None


def _parts(x: Any) -> Iterator[Any]:
    yield from x.values() if isinstance(x, Mapping) else x if isinstance(x, tuple | list) else (x,)


def _first(thing: Any) -> Any:
    while isinstance(thing, list | tuple) and thing:
        thing = thing[0]
    return thing


def loss_advice(error: Exception, output: Any, target: Any, loss_fn: Callable[..., Any]) -> str:
    """The advice for an error that the loss raises on an output and a target."""
    output = output.outputs if isinstance(output, Passed) else output
    if "input should be between 0 and 1" in text_of(error):
        return (
            f"The loss takes probabilities{_range('the outputs', output)}: use the loss of logits, "
            "nn.BCEWithLogitsLoss(), or end the net with a sigmoid."
        )
    if "target should be between 0 and 1" in text_of(error):
        return (
            f"The loss takes targets from 0 to 1{_range('these', target)}: scale them, such as pixels by / 255, or use "
            "the squared error, nn.MSELoss()."
        )
    if isinstance(error, TypeError) and not _takes_two(loss_fn):
        return "The loss is called with the output and the target: pass a function of these two, `lambda o, y: …`."
    return _LOSS


def _range(what: str, values: Any) -> str:
    if not isinstance(values, Tensor) or not values.numel() or not values.dtype.is_floating_point:
        return ""
    low, high = torch.aminmax(values.detach())
    return f", and {what} range from {fmt(float(low))} to {fmt(float(high))}"


def _takes_two(loss_fn: Callable[..., Any]) -> bool:
    try:
        inspect.signature(loss_fn).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
