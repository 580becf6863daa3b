"""IDX, the format of MNIST's files."""

import math

import torch
from torch import Tensor

__all__ = ["read_idx"]

_BYTES = 8  # the code of unsigned bytes


def read_idx(content: bytes | bytearray, dims: int) -> Tensor:
    """The unsigned bytes of an IDX file, with as many dims as expected.

    Raises:
        ValueError: Its header is another one, or states another size than the file has.
    """
    start = 4 + 4 * dims
    if content[:4] != bytes([0, 0, _BYTES, dims]) or len(content) < start:
        raise ValueError(f"expected the header of an IDX file with {dims} dims of bytes, found {bytes(content[:4])!r}")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    if math.prod(shape) != len(content) - start:
        size = "×".join(map(str, shape))
        raise ValueError(f"its header states {size} bytes, and {len(content) - start:,} follow it")
    if 0 in shape:
        raise ValueError("it is empty")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)
