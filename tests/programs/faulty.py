"""Programs with one labelled fault each: base programs and the operators that spoil them."""

from __future__ import annotations

from programs import faulty_data, faulty_further, faulty_nets
from programs.healthy import BASES
from programs.program import Program

__all__ = ["FAULTY", "Fault"]

Fault = tuple[Program, tuple[str, ...]]
"""A program, and the causes that name its fault."""
FAULTY: dict[str, Fault] = {
    name: (change(BASES[of]), causes)
    for table in (faulty_data.TABLE, faulty_nets.TABLE, faulty_further.TABLE)
    for name, (of, change, causes) in table.items()
}
