"""The results as markdown, to be pasted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmark.against_keras import AgainstKeras
from benchmark.forwards import FORMS, Forward
from benchmark.memory import Memory
from benchmark.per_byte import PerByte
from benchmark.rules import RULES
from benchmark.step import Comparison
from benchmark.timing import Spread
from benchmark.variants import AGAIN, WAYS, Variant

__all__ = ["floor_table", "forward_table", "keras_table", "memory_table", "per_byte_table", "step_table", "table"]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Spread | None) -> str:
    return "" if value is None else f"{value.median:.3f} ({value.low:.3f}–{value.high:.3f})"


def _by_way(found: Mapping[str, str], ways: Sequence[str]) -> list[list[str]]:
    """A row for each rule; ways that a rule does not have stay empty."""
    return [[rule, *(found.get(str(Variant(rule, way)), "") for way in ways)] for rule in RULES]


def step_table(result: Comparison) -> str:
    """One net's steps."""
    head = (
        f"**{result.net}**: {result.parameters:,} parameters, rules on {result.numbers:,} numbers in {result.weights} "
        f"weights, batch {result.batch}, {result.optimizer}. Step ÷ plain step, median (quartiles) of {result.rounds} "
        f"rounds; one more plain net: {_cell(result.ratios[str(AGAIN)])}"
    )
    ways = [way for way in WAYS if any(name.endswith(f", {way}") for name in result.ratios)]
    cells = {name: _cell(value) for name, value in result.ratios.items()}
    return f"{head}\n\n{table(['rule', *ways], _by_way(cells, ways))}"


def per_byte_table(result: PerByte) -> str:
    """Many weights against few."""
    head = f"**The rule alone, per byte**: {result.many} ÷ {result.few}, median (quartiles) of {result.rounds} rounds"
    ways = [way for way in WAYS if any(name.endswith(f", {way}") for name in result.ratios)]
    cells = {name: _cell(value) for name, value in result.ratios.items()}
    return f"{head}\n\n{table(['rule', *ways], _by_way(cells, ways))}"


def memory_table(results: Sequence[Memory]) -> str:
    """Extra peak memory of all nets."""
    ways = WAYS[:-1]
    rows = [
        [f"{result.net}, {row[0]}", *row[1:]]
        for result in results
        for row in _by_way({name: f"{extra / result.largest:.3f}" for name, extra in result.extra.items()}, ways)
    ]
    return f"Extra peak memory of the rule alone ÷ the largest weight\n\n{table(['net, rule', *ways], rows)}"


def floor_table(results: Sequence[Comparison]) -> str:
    """What a rule must cost beside what it does cost."""
    rows = [
        [f"{result.net}, {result.optimizer}, {name}", "0", f"{floor.median:.1%}", f"{extra.median - 1:+.1%}"]
        for result in results
        for name, floor in result.floor.items()
        if (extra := result.ratios.get(str(Variant(name, "way 3")))) is not None
    ]
    header = ["net, optimizer, rule", "in the optimizer's pass", "in a pass of its own", "way 3, measured"]
    return (
        "Floor: the bytes a rule must move ÷ the measured bandwidth of the memory, as a share of the plain step; a net "
        "that stays in the caches can be below\n\n"
        f"{table(header, rows)}"
    )


def keras_table(result: AgainstKeras) -> str:
    """One net here and in Keras."""
    rows = [
        [name, result.versions[name], _cell(result.ratios[name]), f"{result.ms[name]:.2f}"]
        for name in sorted(result.ms, key=lambda name: result.ms[name])
    ]
    lines = [
        f"**{result.net}** with L2: step ÷ step of {result.reference}, median (quartiles) of {result.rounds} rounds",
        "",
        table(["", "version", "ratio", "ms"], rows),
        *(f"\n{name}: left out, {why}" for name, why in result.left_out.items()),
    ]
    return "\n".join(lines)


def forward_table(results: Sequence[Forward]) -> str:
    """The forward passes of Keras's nets here: our time over Keras's, for each of our layouts."""
    columns = [f"{form} ÷ {backend}" for backend in ("torch", "jax") for form in FORMS]
    rows = [
        [f"{r.net}, batch {r.batch}", *(_cell(r.ratios.get(name)) for name in columns), f"{r.apart:.0e}"]
        for r in results
    ]
    head = (
        "Forward pass of a loaded net ÷ Keras's on torch and in JAX, jitted; median (quartiles) of interleaved rounds"
    )
    return f"{head}\n\n{table(['net', *columns, 'difference'], rows)}"
