"""JAX's resizing, in a process of its own: where JAX runs, a fork warns and may hang.

Imports neither torch nor pytest, so that the process starts fast.
"""

from __future__ import annotations

from typing import Any

__all__ = ["resized"]


def resized(x: list[Any], size: tuple[int, int], method: str, antialias: bool) -> list[Any]:
    """Images, channels first, in another size."""
    import jax

    image: Any = jax.numpy.asarray(x, dtype="float32")
    return jax.image.resize(image, (*image.shape[:2], *size), method, antialias).tolist()
