"""The command line of `scripts/bench.py`."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regtorch.wrong_options import in_one_line

__all__ = ["main"]

_EPILOG = """
Ratios are medians over rounds, in each of which everything that is compared runs once, in an order drawn anew, and is
compared within the round. Absolute times are in the JSON, as information. All parts take about half an hour on two
cores and up to 6 GB. Let nothing else run meanwhile: threads that wait for a busy core make ratios meaningless; the
ratio of one more plain net, which should be 1, shows it.

examples:
  python scripts/bench.py --quick
  python scripts/bench.py --parts step,floor --nets cnn,mnist_mlp
  python scripts/bench.py --parts fuse --nets cnn
  python scripts/bench.py --tf-python ~/tf/bin/python --json docs/bench-cpu.json
  python scripts/bench.py --device cuda --json docs/bench-cuda.json
"""


def main(description: str, conf: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark as the command line says.

    Args:
        description: what the help begins with.
        conf: the folder of the configs of `scripts/train.py`.
        arguments: the command line's words; None takes them from `sys.argv`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        description=description, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", choices=["cpu", "cuda"], help="where to measure (default: cuda where there is one)")
    add(
        "--parts",
        type=_words,
        help="step, memory, keras, floor, saves, forward, watch, fuse, optax, real; several with commas (default: all)",
    )
    add("--nets", type=_words, help="mnist_mlp, cnn, wide and the stacks of dense layers by name (default: all)")
    add("--forward-nets", type=_words, help="MobileNetV2, ResNet50, LSTM(128) and others, for --parts forward")
    add("--real-nets", type=_words, help="resnet50, BertForMaskedLM and others, for --parts real")
    add(
        "--repeats",
        type=_positive,
        default=15,
        help="rounds of each comparison, at most (default: 15; 100 M parameters: a third)",
    )
    add("--seconds", type=float, default=math.inf, help="end rounds early to stay near this total (at least 2 rounds)")
    add("--quick", action="store_true", help="a smoke run of two rounds on tiny nets; its figures mean nothing")
    add("--threads", type=_positive, help="threads, and cores for Keras's processes (default: torch's choice)")
    add("--tf-python", metavar="PATH", help="a Python with TensorFlow 2.14, to compare with TF-Keras")
    add("--json", type=Path, metavar="FILE", help="write everything measured to this file")
    options = in_one_line(parser).parse_args(arguments)

    import torch

    from benchmark.keras_forward_worker import NETS as NETS_OF_KERAS
    from benchmark.nets import NETS, QUICK
    from benchmark.real_nets import REAL
    from benchmark.run import PARTS, run
    from benchmark.settings import Settings

    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this torch sees no CUDA device; give --device cpu")
    if options.json is not None and options.json.is_dir():
        parser.error(f"--json: expected a file, received the folder {options.json}")
    if not options.seconds > 0:
        parser.error(f"--seconds: expected a number above 0, received {options.seconds:g}")
    if options.threads:
        torch.set_num_threads(options.threads)
    parts = _known(parser, "--parts", options.parts, PARTS)
    nets = {case.name: case for case in (QUICK if options.quick else NETS)}
    nets = [nets[name] for name in _known(parser, "--nets", options.nets, list(nets))]
    real = {case.name: case for case in REAL}
    real = [real[name] for name in _known(parser, "--real-nets", options.real_nets, list(real))]
    # Two optimizers a net, the rules alone, two nets against Keras.
    comparisons = 2 * len(nets) * bool({"step", "floor"} & {*parts}) + ("step" in parts) + 2 * ("keras" in parts)
    comparisons += len(options.forward_nets or NETS_OF_KERAS) * ("forward" in parts)
    comparisons += len(nets) * ("optax" in parts) + 10 * len(nets) * ("fuse" in parts) + len(real) * ("real" in parts)
    settings: dict[str, Any] = {
        "device": torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu")),
        "nets": nets,
        "real": real,
        "forwards": _known(parser, "--forward-nets", options.forward_nets, list(NETS_OF_KERAS)),
        "conf": conf,
        "tf_python": options.tf_python,
        "rounds": options.repeats,
        "seconds": options.seconds / max(comparisons, 1),
    }
    if options.quick:
        _, few, many = QUICK
        settings |= {"rounds": 2, "block": 0.01, "stream_numbers": 1 << 22, "few": few, "many": many}
        settings |= {"keras_steps": {"cnn": 3, "mnist_mlp": 10}}

    def keep(results: dict[str, Any]) -> None:
        if options.json:
            from regtorch.app.ground.atomic import write_text

            write_text(options.json, json.dumps(_rounded(results), indent=1, allow_nan=False) + "\n")

    run(Settings(**settings), parts, keep=keep)
    if options.json:
        print(f"\nwritten to {options.json}")
    return 0


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, received {number}")
    return number


def _known(
    parser: argparse.ArgumentParser, option: str, given: Sequence[str] | None, known: Sequence[str]
) -> Sequence[str]:
    strange = [word for word in given or () if word not in known]
    if strange:
        parser.error(f"{option}: expected some of {', '.join(known)}, received {strange[0]!r}")
    return known if given is None else given


def _rounded(value: Any) -> Any:
    """Four digits are more than the noise leaves."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value
