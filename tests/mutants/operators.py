"""Mutants of a file: each is its source with one small change that its tests should notice."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], Sequence[type[ast.cmpop]]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TEXT = "mutant"


@dataclass(frozen=True)
class Mutant:
    """A changed source, and the lines on one of which a test must be to notice; None: what an import runs."""

    source: str
    lines: range | None


def mutants(source: str) -> list[Mutant]:
    """All mutants of a source, in its order; annotations, docstrings, messages and `__all__` are left alone."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return finder.found


def _name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str):
        self.found: list[Mutant] = []
        self._source = source.encode()  # a column of `ast` counts bytes
        self._starts = [0]
        for line in self._source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines: range | None = None
        self._in_function = False

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt) and self._in_function:
            body = getattr(node, "body", None)  # of a block the head alone
            end = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
            self._lines = range(node.lineno, end + 1)
        super().visit(node)

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _put(self, node: Any, text: str, before: int = 0) -> None:
        start = self._starts[node.lineno - 1] + node.col_offset - before
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        self.found.append(Mutant((self._source[:start] + text.encode() + self._source[end:]).decode(), self._lines))

    def _change(self, node: ast.AST, **parts: Any) -> None:
        changed = copy.copy(node)
        for name, value in parts.items():
            setattr(changed, name, value)
        text = ast.unparse(changed)
        self._put(node, text if isinstance(node, ast.stmt) else f"({text})")

    def _condition(self, test: ast.expr) -> None:
        """Negated, unless another mutant does as much."""
        if not isinstance(test, ast.Compare | ast.UnaryOp):
            self._put(test, f"(not ({ast.unparse(test)}))")

    def _decorators(self, decorators: list[ast.expr]) -> None:
        for decorator in decorators:
            self._put(decorator, "", before=len("@"))
            self.visit(decorator)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if any(_name(decorator) in {"overload", "abstractmethod"} for decorator in node.decorator_list):
            return  # said for a type checker
        self._decorators(node.decorator_list)
        self._all([*node.args.defaults, *node.args.kw_defaults])
        before = self._in_function, self._lines
        # What is cached is run by the first test alone, and others get its result.
        self._in_function = not any(_name(decorator) in {"cache", "lru_cache"} for decorator in node.decorator_list)
        self._lines = None
        self._all(node.body)
        self._in_function, self._lines = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._decorators(node.decorator_list)
        self._all([*node.bases, *node.keywords, *node.body])

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            if not isinstance(node.value, ast.Yield | ast.YieldFrom):
                self._put(node, "pass")
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        read = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
        if isinstance(target, ast.Name) and target.id == "__all__":
            return
        if target.id in read if isinstance(target, ast.Name) else not isinstance(target, ast.Tuple):
            self._put(node, "pass")  # without it other names are not there at all
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._all([node.value])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._put(node, "pass")
        self.visit_BinOp(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and ast.unparse(node.value) != "None":
            self._put(node, "return None")
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise | ast.Delete) -> None:
        self._put(node, "pass")

    visit_Delete = visit_Raise

    def visit_Break(self, node: ast.Break) -> None:
        self._put(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._put(node, "break")

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        if _name(node.test) != "TYPE_CHECKING":
            self._condition(node.test)
            self.generic_visit(node)

    visit_While = visit_IfExp = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._condition(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for i, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                self._change(node, ops=[*node.ops[:i], other(), *node.ops[i + 1 :]])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._change(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self._put(node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp | ast.AugAssign) -> None:
        if other := ARITHMETIC.get(type(node.op)):
            self._change(node, op=other())
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case bool() as value:
                self._put(node, repr(not value))
            case int() | float() as value:
                self._put(node, repr(value + 1))
            case str() as value:
                self._put(node, repr(value + TEXT))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self._put(node, repr(TEXT))  # in Python 3.11 what is inside has no place of its own

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _name(node.value) != "Literal":
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if _name(node) != "warn":  # what it says is for people
            types = _name(node) in {"cast", "TypeVar"}
            said = [word for word in node.keywords if word.arg != "strict"]  # a zip's, which asserts
            self._all([node.func, *node.args[types:], *said])

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all([*node.args.defaults, *node.args.kw_defaults, node.body])
