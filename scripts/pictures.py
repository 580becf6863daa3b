"""Draw the pictures of the documentation: `python scripts/pictures.py`, or some of them by name."""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))  # also where a wheel is installed

import torch  # noqa: E402

from concepts import PICTURES  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(PICTURES)} (default: all)")
    parser.add_argument(
        "--into", type=Path, default=ROOT / "docs" / "pictures", help="the folder (default: docs/pictures)"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small nets: threads would wait for each other
    torch.set_flush_denormal(True)
    for name in arguments.names or PICTURES:
        if name not in PICTURES:
            parser.error(f"expected a picture's name, one of {', '.join(PICTURES)}, received {name!r}")
        torch.manual_seed(0)
        path = arguments.into / f"{name}.svg"
        path.write_text(PICTURES[name](), encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1024:.1f} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
