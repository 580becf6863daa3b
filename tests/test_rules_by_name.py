"""Rules have their arguments before the first is made, as parsers of configs (LightningCLI's) read them."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import regtorch as rt

kinds = [thing for thing in vars(rt).values() if isinstance(thing, type)]
kinds = [kind for kind in kinds if issubclass(kind, (rt.Penalty, rt.Constraint))]
missing = [kind.__name__ for kind in kinds if "__init__" not in vars(kind)]
print(len(kinds), missing)
"""


@pytest.mark.script
def test_every_rule_has_its_own_arguments_at_once():
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    count, _, missing = found.strip().partition(" ")
    assert int(count) > 25
    assert missing == "[]"
