"""What the benchmark compares is equal, and what it measures is right; no time is ever asserted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark import options
from benchmark.alone import alone, chosen, with_gradients
from benchmark.bandwidth import moved_by_stream, stream
from benchmark.forwards import Forward
from benchmark.keras_forward_worker import NETS as NETS_OF_KERAS
from benchmark.memory import memory_of, peak_of
from benchmark.nets import FEW, MANY, NETS, QUICK, NetCase
from benchmark.rules import RULES
from benchmark.run import run
from benchmark.settings import Settings
from benchmark.step import Comparison, wanted
from benchmark.tables import floor_table, forward_table, step_table
from benchmark.timing import Spread, block, interleave, ratios, spread, steps_for
from benchmark.variants import AGAIN, NONE, OPTIMIZERS, Training, Variant, variants
from clock import Clock
from places import CONF
from regtorch.app.nets import count

CPU = torch.device("cpu")
close = torch.testing.assert_close


# -- timing


def test_a_spread_is_median_and_quartiles():
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)


def test_ratios_are_taken_within_a_round():
    drift = [1.0, 3.0, 10.0, 0.5]
    assert ratios([1.25 * d for d in drift], drift) == Spread(1.25, 1.25, 1.25)
    assert ratios([1.25, 3.75, 12.5, 50.0], drift).median == 1.25  # one disturbed round
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])


def test_a_block_drops_its_first_step_and_tells_the_median():
    clock, seconds = Clock(), iter([90.0, 1.0, 5.0, 2.0])

    def step() -> None:
        clock.now += next(seconds)

    assert block(step, 3, clock=clock)() == 2.0


def test_steps_fill_a_block():
    assert steps_for(0.1, 0.011) == 10
    assert steps_for(0.1, 9.0) == 3
    assert steps_for(0.1, 1e-9) == 200


def test_every_round_runs_every_block_once_in_an_order_of_its_own():
    orders: list[str] = []

    def named(name: str):
        return lambda: orders.append(name) or float(len(orders))

    times = interleave({name: named(name) for name in "abcdef"}, 20)
    rounds = ["".join(orders[i : i + 6]) for i in range(0, 120, 6)]
    assert all(sorted(order) == list("abcdef") for order in rounds)
    assert len(set(rounds)) > 10
    assert all(len(told) == 20 for told in times.values())
    assert times["c"] == [i + 1.0 for i, name in enumerate(orders) if name == "c"]
    first = list(orders)
    orders.clear()
    interleave({name: named(name) for name in "abcdef"}, 20)
    assert orders == first


@pytest.mark.parametrize(("seconds", "rounds"), [(35.0, 3), (1.0, 2), (1e9, 8)])
def test_rounds_end_before_the_time_is_over_but_not_before_the_second(seconds: float, rounds: int):
    clock = Clock()

    def ten() -> float:
        clock.now += 10.0
        return 10.0

    assert len(interleave({"a": ten}, 8, seconds=seconds, clock=clock)["a"]) == rounds


# -- the nets


def test_the_nets_reach_from_30_thousand_to_100_million_numbers_and_to_400_weights():
    with torch.device("meta"):
        nets = {case.name: case.make() for case in NETS}
    sizes = [count(net)[0] for net in nets.values()]
    assert min(sizes) == 28_630
    assert 1e8 <= max(sizes) < 1.02e8
    many, few = (chosen(nets[case.name]) for case in (MANY, FEW))
    assert (len(many), len(few)) == (400, 4)
    assert sum(w.numel() for w in many) == sum(w.numel() for w in few)
    assert [case.large for case in NETS] == [size > 1e8 for size in sizes]


def test_a_deep_stack_keeps_its_signal():
    x, _ = MANY.data()
    torch.manual_seed(0)
    outputs = MANY.make()(x)
    assert 1e-4 < outputs.std() < 1e4


# -- correctness of what is timed


def trained(case: NetCase, variant: Variant, fused: bool, steps: int = 4) -> list[Tensor]:
    """How far each parameter goes, in float64, under the same dropout."""
    training = Training(case, variant, fused=fused, dtype=torch.float64)
    start = [p.detach().clone() for p in training.net.parameters()]
    torch.manual_seed(1)
    for _ in range(steps):
        training.step()
    return [p.detach() - s for p, s in zip(training.net.parameters(), start, strict=True)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", QUICK[:2], ids=lambda case: case.name)
@pytest.mark.parametrize("rule", RULES)
def test_every_way_goes_where_the_naive_loop_goes(case: NetCase, rule: str, optimizer: str):
    fused = OPTIMIZERS[optimizer]
    ways = [v for v in variants() if v.rule == rule]
    assert {v.way for v in ways} >= {"naive", "way 3"}
    naive = trained(case, Variant(rule, "naive"), fused)
    plain = trained(case, NONE, fused)
    for way in ways:
        close(trained(case, way, fused), naive, rtol=1e-8, atol=1e-14)
    assert any((a - b).abs().max() > 1e-7 for a, b in zip(naive, plain, strict=True))  # the rule matters
    close(trained(case, AGAIN, fused), plain, rtol=0, atol=0)


@pytest.mark.parametrize("variant", [v for v in variants() if v.way not in ("", "naive", "weight_decay")], ids=str)
def test_a_rule_alone_does_what_the_naive_one_does(variant: Variant):
    def after(v: Variant) -> list[Tensor | None]:
        torch.manual_seed(0)
        net = with_gradients(QUICK[1].make().double())
        alone(net, v)()
        return [t for p in net.parameters() for t in (p.detach(), p.grad)]

    naive = after(Variant(variant.rule, "naive"))
    close(after(variant), naive, rtol=1e-12, atol=1e-15)
    torch.manual_seed(0)
    untouched = [t for p in with_gradients(QUICK[1].make().double()).parameters() for t in (p.detach(), p.grad)]
    with pytest.raises(AssertionError, match="not close"):
        close(untouched, naive)


def test_a_large_net_is_trained_under_way_3_of_every_rule_and_every_way_of_l2():
    large = next(case for case in NETS if case.large)
    assert {v.rule for v in wanted(large) if v.way == "way 3"} == set(RULES)
    assert len([v for v in wanted(large) if v.rule == "L2"]) == 5
    assert wanted(NETS[0]) == variants()


# -- memory


@pytest.mark.parametrize(
    ("act", "numbers"),
    [
        (lambda x: x + 1, 1),
        (lambda x: (x + 1) + (x + 2), 3),
        (lambda x: (x + 1).add_(2).view(-1)[:10].mul_(2), 1),
        (lambda x: [x + 1 for _ in range(5)], 5),
        (lambda x: [(x + 1).sum().item() for _ in range(5)], 1),
        (lambda x: x.add_(1), 0),
        (lambda x: torch.stack([x, x]).unbind()[0].neg_(), 2),
    ],
)
def test_the_peak_of_a_known_allocation(act: Callable[[Tensor], object], numbers: int):
    x = torch.ones(25_000)
    assert 0 <= peak_of(lambda: act(x), CPU) - 100_000 * numbers <= 64


def test_a_backward_pass_counts():
    x = torch.ones(25_000, requires_grad=True)
    x.grad = torch.zeros(25_000)
    # The square, then (freed by then or not) the factor 2x and the gradient made of it.
    assert 200_000 <= peak_of(lambda: x.square().sum().backward(), CPU) <= 300_064


def test_the_memory_of_a_net():
    found = memory_of(QUICK[0], Settings(CPU))
    assert found.largest == 784 * 36 * 4
    assert found.extra["L2, way 3"] == found.extra["L2, way 2"] == 0
    assert found.extra["L2, naive"] >= 2 * found.largest
    assert set(found.extra) == {str(v) for v in variants() if v.way not in ("", "weight_decay")}


def test_the_stream_moves_what_it_says():
    act = stream(CPU, 1000)
    assert peak_of(act, CPU) == 0
    assert moved_by_stream(1000) == 12_000


# -- tables and the command line


def test_tables_hold_every_rule_and_way():
    values = {str(v): Spread(1.0 + i / 100, 1.0, 2.0) for i, v in enumerate(variants()) if v != NONE}
    floor = {name: Spread(0.01, 0.01, 0.01) for name in RULES}
    result = Comparison("cnn", "Adam", 32, 4_203_018, 3, 4_200_288, 30.0, values, floor, 15)
    text = step_table(result)
    assert "4,203,018" in text
    assert all(f"{value.median:.3f}" in text for value in values.values())
    assert text.count("\n| ") == 2 + len(RULES)
    extra = values["L2, way 3"].median - 1
    assert f"| cnn, Adam, L2 | 0 | 1.0% | +{extra:.1%} |" in floor_table([result])


@pytest.mark.script
@pytest.mark.slow
def test_a_quick_run_measures_and_writes_every_part_but_keras(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "docs" / "bench.json"
    arguments = ["--device", "cpu", "--quick", "--parts", "step,memory,floor,saves", "--nets", "4 × dense 40"]
    assert options.main("", CONF, [*arguments, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "GroupLasso" in printed
    found = json.loads(path.read_text())
    assert set(found) == {"machine", "step", "per_byte", "memory", "saves"}
    assert all(price["seconds"]["low"] > 0 and price["mebibytes"] > 0 for price in found["saves"])
    assert found["machine"]["torch"] == torch.__version__
    assert {result["optimizer"] for result in found["step"]} == set(OPTIMIZERS)
    for result in found["step"]:
        assert result["rounds"] == 2
        assert set(result["ratios"]) == {str(v) for v in variants()} - {str(NONE)}
        assert set(result["floor"]) == set(RULES)
        assert all(s["low"] <= s["median"] <= s["high"] and s["low"] > 0 for s in result["ratios"].values())
    assert os.listdir(path.parent) == ["bench.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--json", "."], "--json: expected a file, received the folder ."),
        (["--seconds", "nan"], "--seconds: expected a number above 0, received nan"),
        (
            ["--parts", "steps"],
            "--parts: expected some of step, memory, keras, floor, saves, forward, watch, fuse, optax, real, received "
            "'steps'",
        ),
        (["--forward-nets", "vgg"], "--forward-nets: expected some of MobileNetV2, ResNet50, "),
        (["--nets", "resnet"], "--nets: expected some of mnist_mlp, cnn, "),
        (["--repeats", "0"], "--repeats: expected at least 1, received 0"),
        (["--devise", "cpu"], "--devise: unknown option; did you mean --device?"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as raised:
        options.main("", CONF, arguments)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {says}")
    assert error.count("\n") == 1


# -- against Keras


def test_the_table_of_forward_passes():
    spread = Spread(0.9, 0.8, 1.0)
    found = {"contiguous ÷ torch": spread, "contiguous ÷ jax": Spread(1.1, 1.0, 1.2)}
    text = forward_table([Forward("LSTM(128)", 32, found, {}, 2e-7, 7, {})])
    assert "| LSTM(128), batch 32 | 0.900 (0.800–1.000) |  | 1.100 (1.000–1.200) |  | 2e-07 |" in text


def test_every_net_of_the_forward_passes_has_a_batch_size():
    assert all(callable(build) and batch > 0 for build, batch in NETS_OF_KERAS.values())


def test_what_measures_the_cpu_is_left_out_elsewhere():
    said: list[str] = []
    settings = Settings(device=torch.device("meta"), nets=[], real=[], forwards=[], conf=CONF)
    found = run(settings, ["saves", "forward", "fuse", "optax", "memory"], say=said.append)
    assert "left out on meta: saves, forward, fuse, optax, which measure the CPU" in said[1]
    assert found.keys() == {"machine", "memory"}
