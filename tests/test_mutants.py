"""The mutation tool on a small module: what is killed, what lives, what hangs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutants import __main__ as tool
from mutants.operators import mutants
from places import ROOT

pytestmark = pytest.mark.script

CORE = ROOT / "src/regtorch"
FILES = {
    "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']\naddopts = '--doctest-modules'\n",
    "src/small.py": """
def positive(a: int) -> bool:
    while a < 0:
        a += 1
        if a == 0:
            raise ValueError("negative")
    return a > 0

def untested() -> int:
    return 1

def shown(a: int) -> int:
    '''
    >>> shown(2)
    3
    '''
    return a + 1
""",
    "tests/test_small.py": """
import pytest
from small import positive

def test_positive():
    assert positive(1)
    with pytest.raises(ValueError):
        positive(-2)
""",
}


@pytest.fixture
def small(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mutants", "src/small.py", *options, "--least", "1", "--tests", "tests", "src/small.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def changes(source: str) -> set[str]:
    """What each mutant has in place of a line."""
    lines = source.splitlines()
    return {"; ".join(a for a, b in zip(m.source.splitlines(), lines, strict=True) if a != b) for m in mutants(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a = b <= 1", {"a = (b < 1)", "a = (b > 1)", "a = b <= 2"}),
        ("a = 0 < b is c", {"a = (0 <= b is c)", "a = (0 >= b is c)", "a = (0 < b is not c)", "a = 1 < b is c"}),
        ("a = b and not c", {"a = (b or not c)", "a = b and (c)"}),
        ("a = -b * c", {"a = (-b / c)", "a = (b) * c"}),
        ("a = f'{b}'", {"a = 'mutant'"}),
        ("λ = 'β' + b[1]", {"λ = ('β' - b[1])", "λ = 'βmutant' + b[1]", "λ = 'β' + b[2]"}),
        ("a = a.b", {"pass"}),
        ("a.b = c", {"pass"}),
        ("a += b", {"pass", "a -= b"}),
        ("f(a)", {"pass"}),
        ("del a", {"pass"}),
        ("a = b if c else d", {"a = b if (not (c)) else d"}),
        ("a = [b for b in c if d]", {"a = [b for b in c if (not (d))]"}),
        ("def f(a: int = 1, *, b=None) -> 'x': ...", {"def f(a: int = 2, *, b=None) -> 'x': ..."}),
        ("@f(frozen=True)\nclass A: ...", {"", "@f(frozen=False)"}),
        ("@overload\ndef f(a=1): ...", set()),
        ("@property\n@abstractmethod\ndef f(a=1): ...", set()),
        ("def f():\n    '''Doc.'''\n    return a", {"    return None"}),
        ("def f():\n    yield", set()),
        ("__all__ = ['a']", set()),
        ("a: Literal['b'] | None = cast('A', None)", set()),
        ("B = Literal['b']", set()),
        ("if TYPE_CHECKING:\n    a = 1", set()),
        ("raise ValueError('a', 1)", {"pass"}),
        ("assert not a, 'b'", {"assert (a), 'b'"}),
        ("zip(a, strict=True)", {"pass"}),
        ("warn(f'{a}' + 'b')", {"pass"}),
        ("while a:\n    break", {"while (not (a)):", "    continue"}),
    ],
)  # fmt: skip
def test_operators(source: str, expected: set[str]):
    assert changes(source) == expected


def test_which_lines_a_test_must_be_on_to_notice():
    source = "@cache\ndef f():\n    a(1)\n    def g():\n        b(2)\n\ndef h():\n    c(3)\n\nd(4)\n"
    found = {}
    for mutant in mutants(source):
        pairs = zip(source.splitlines(), mutant.source.splitlines(), strict=True)
        found[next(number for number, (old, new) in enumerate(pairs, 1) if old != new)] = mutant.lines
    assert found == {1: None, 3: None, 5: range(5, 6), 8: range(8, 9), 10: None}


@pytest.mark.slow
def test_survivors_are_shown_and_what_hangs_is_killed(small: Path):
    said = run(small).stdout
    new = {line[1:].strip() for line in said.splitlines() if line.startswith("+ ")}
    tested = {"while (a <= 0):", "while a < 1:", "a += 2", "if (a != 0):", "return (a >= 0)"}
    assert new == tested | {"return None", "return 2"}  # those of `untested`; that of `positive` is killed
    assert "11 of 18 mutants killed, 61.1%; " in said
    assert (small / "src/small.py").read_text() == FILES["src/small.py"]


def test_the_fastest_tests_come_first_and_may_be_all():
    took = {"a": 3.0, "b": 1.0, "c": 2.0}
    assert tool.within(took, float("inf")) == ["b", "c", "a"]
    assert tool.within(took, 3.5) == ["b", "c"]
    assert tool.within(took, 0.1) == ["b"]
    assert tool.within({}, 1.0) == []


@pytest.mark.slow
def test_a_sample_has_a_seed(small: Path):
    said = run(small, "--sample", "2", "--seed", "1").stdout
    assert "2 mutants of seed 1\n" in said
    assert "of 2 mutants killed" in said


def test_tests_that_fail_anyway_kill_nothing(small: Path):
    (small / "tests/test_small.py").write_text("def test_wrong():\n    assert 0, 'why'\n")
    result = run(small)
    assert result.returncode == 1
    assert result.stderr.startswith("mutants: the tests must pass before a mutant is made")
    assert "why" in result.stderr


ROOMS = ("", "numerics", "penalties", "constraints", "outputs", "select", "steps", "bound", "conventions")
CORE_FILES = sorted(file for room in ROOMS for file in (CORE / room).glob("*.py"))


@pytest.mark.parametrize("file", CORE_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_the_tests_of_every_file_of_the_core_are_known(file: Path):
    if file.stem not in {"__init__", "__main__", "shapes", "sharded"}:  # their tests run in processes of their own
        assert len(tool.tests_of(file)) > 1


def test_every_word_of_the_table_names_tests():
    names = [f"{test.stem}_" for test in (ROOT / "tests").rglob("test_*.py")]
    for word in {word for words in tool.TESTS.values() for word in words.split()}:
        assert any(name.startswith(f"test_{word}_") for name in names), word


def test_a_file_without_tests_is_refused(small: Path):
    command = [sys.executable, "-m", "mutants", "src/small.py"]
    (small / "tests/test_small.py").unlink()
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    result = subprocess.run(command, env=env, cwd=small, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "no tests of small.py are known; name them by --tests" in result.stderr
