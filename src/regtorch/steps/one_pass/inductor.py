"""Code that inductor, the compiler behind `torch.compile`, makes of a graph of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

__all__ = ["coded"]

# Beyond these numbers of reads and operations inductor keeps an intermediate result in memory, which costs two passes.
_LIMITS = (
    "realize_reads_threshold",
    "realize_opcount_threshold",
    "realize_cpu_opcount_threshold",
    "realize_acc_reads_threshold",
    "realize_cpu_acc_reads_threshold",
)
_MANY = 1 << 20
_ALONGSIDE = 4  # weights of one shape in a loop; of more, the first would have left the cache when all norms are known


def coded(graph: Any, examples: Sequence[Any]) -> Callable[..., Any]:
    """The code that inductor makes of a graph."""
    from torch._inductor import config  # which takes seconds to import
    from torch._inductor.compile_fx import compile_fx

    with _only_waiting():
        patches = {k: _MANY for k in _LIMITS if hasattr(config, k)}
        patches |= {"cpp.max_horizontal_fusion_size": _ALONGSIDE}
        code: Any = compile_fx(graph, examples, config_patches=patches)
    return code


@contextmanager
def _only_waiting() -> Iterator[None]:
    """Mend a fault of torch 2.14 and 2.15, which raises a KeyError where norms and in-place updates share a loop.

    It asks where an operation reads a buffer of the loop, also one that must wait for the buffer and does not read it.
    Without an answer it keeps no copy of the buffer.
    """
    from torch._inductor.loop_body import LoopBody

    ask: Any = getattr(LoopBody, "get_read_expr", None)

    def where(body: Any, name: str) -> Any:
        try:
            return ask(body, name)
        except KeyError:
            return None

    with nullcontext() if ask is None else patch.object(LoopBody, "get_read_expr", where):
        yield
