"""`regtorch report`: the page of a folder of runs, or of the documents."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import get_terminal_size
from textwrap import fill
from typing import Any

from regtorch.app.ground.lines import fitting_errors, tell, told
from regtorch.app.ground.streams import print_anything, printed
from regtorch.app.record.command import command
from regtorch.counted import counted
from regtorch.wrong_options import in_one_line

__all__ = ["main"]

Documents = Callable[[argparse.Namespace], int]


def main(documents: Documents | None = None) -> int:
    """Run the command line in `sys.argv`; `documents` writes the documents' page, which needs a checkout.

    Returns:
        The exit code: 0, 1 if a run of the documents failed, 2 for problems that the user must fix first, 130 after
        Ctrl-C, which also ends --serve.
    """
    parser = _parser(documents is not None)
    with told():  # --help
        arguments = parser.parse_args()
    print_anything()
    if arguments.serve and (arguments.documents or arguments.page is not None):
        parser.error(f"--serve writes no page; leave out {'--documents' if arguments.documents else '--page'}")
    if arguments.port is not None and not arguments.serve:
        parser.error(f"--port is for --serve, received --port {arguments.port} without it")
    if arguments.documents and arguments.given and not arguments.train:
        parser.error(f"overrides are for --train, received {' '.join(arguments.given)}")
    if not arguments.documents and (arguments.train or len(arguments.given) != 1):
        received = "--train" if arguments.train else " ".join(arguments.given) or "nothing"
        expected = "one folder" if documents is None else "one folder, or --documents"
        parser.error(f"expected {expected}, received {received}; {parser.prog} --help shows examples")
    try:
        if not arguments.documents:
            root = Path(arguments.given[0])
            return _serve(root, arguments.port or 0) if arguments.serve else _folder(root, arguments.page)
        if documents is None:
            raise ValueError(
                "--documents needs a checkout of the repository, whose claims it trains and judges; run "
                "python scripts/report.py --documents there"
            )
        return documents(arguments)
    except (OSError, ValueError) as error:
        tell("\n".join(f"error: {line}" for line in str(error).splitlines()), sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        again = "the same command continues" if arguments.documents else "nothing was written"
        tell(f"interrupted; {again}", sys.stderr)
        return getattr(error, "code", 130)


def _parser(checkout: bool) -> argparse.ArgumentParser:
    """The options; those of the documents are shown in a checkout, the only place that has them."""
    program = command("report")
    usage = f"{program} DIR [--page PAGE]\n       {program} DIR --serve [--port PORT]"
    about = (
        "Write one page, and its plots as PNG, SVG and PDF, about all runs, -m grids, paths and searches in a folder"
        + ("; or the page of the documents." if checkout else ".")
    )
    sweep = "sweeps/2026-01-31_12-00-00-000000"
    examples = f"  {program} {sweep}\n  {program} . --page report.html\n  {program} {sweep} --serve"
    parser = argparse.ArgumentParser(
        prog=program,
        description=fill(about, max(get_terminal_size().columns - 2, 30)),
        epilog=f"examples:\n{examples}" + f"\n  {program} --documents" * checkout,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=usage + f"\n       {program} --documents [--train [overrides ...]] [--page PAGE]" * checkout,
    )

    def option(name: str, words: str, **how: Any) -> None:
        parser.add_argument(name, help=words if checkout else argparse.SUPPRESS, **how)

    overrides = "; with --train, overrides for every run, such as data.dir=data trainer=cpu" * checkout
    parser.add_argument("given", nargs="*", metavar="DIR", help=f"the folder{overrides}")
    parser.add_argument("--page", type=Path, help="the page to write (default: report.html in DIR)")
    parser.add_argument(
        "--serve",
        help="instead of writing the page, show it on this machine alone, and follow the runs until Ctrl-C",
        action="store_true",
    )
    parser.add_argument("--port", type=int, help="the port of --serve (default: any free one)")
    option("--documents", "the documents' claims and our verdicts, instead of DIR", action="store_true")
    option(
        "--train",
        "train all missing runs one after another (hours); do not run two such commands at once, as it moves "
        "leftovers of interrupted runs aside",
        action="store_true",
    )
    option("--runs", "the folder of the documents' runs", type=Path, default=Path("runs/documents"))
    option("--claims", "the folder of the claims (default: docs/claims)", type=Path)
    return in_one_line(parser, fitting_errors)


def _serve(root: Path, port: int) -> int:
    from regtorch.app.report.serve import serve  # late: --help does not need it

    return serve(root, port)


def _folder(root: Path, page: Path | None) -> int:
    from regtorch.app.report.page import report  # late: --help does not need it

    written, found = report(root, page)
    failed = sum(lost.finished for lost in found.lost)
    parts = [counted(len(found.entries), "trained net"), f"{failed} failed", f"{len(found.lost) - failed} not finished"]
    print(", ".join(part for part in parts if not part.startswith("0 ")) or "no trained nets")
    for line in found.unreadable:
        print(f"left out: {printed(line)}")
    print(f"written to {printed(str(written))}")
    return 0
