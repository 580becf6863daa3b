"""`python -m programs`: what the doctor says of the programs, or with `advice` what its advice is worth."""

from __future__ import annotations

import argparse
import sys

from programs import advice, score


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m programs", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["causes", "advice"], default="causes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="", help="names that hold this")
    given = parser.parse_args(arguments)
    if given.what == "causes":
        print(score.report(*score.looks(given.seed, given.part)))
    else:
        print(advice.report(*advice.all_followed(given.part)))


main(sys.argv[1:])
