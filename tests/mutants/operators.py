"""The careless faults that a mutant has: one node of a module's syntax tree replaced by another.

They are the faults that reviews of this code met: a step forgotten, a guard that is always or never true, one of two
conditions dropped, a list that ends after its first element, another order, a keyword such as ``if_match`` left out, a
handler that no longer catches, a context manager left out, a limit off by one, a name with another name in its place.

Left out, because they change what is shown and not what is done: docstrings, texts with a space in them, f-strings,
the words of errors (``raise``), progress lines (``note``), ``assert`` (for mypy only) and annotations.
"""

import ast
import copy
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from attrs import define, field, frozen

NAME = re.compile(r"[\w./:*-]+", re.ASCII)  # a text that is a name, not a sentence
COMMENTARY = {"note", "debug", "info", "notify"}
GENERIC = {"Callable", "Mapping", "Sequence", "Iterable", "Iterator", "dict", "list", "set", "tuple", "type"}
SHOWN = {"hint", "indent", "note", "repr"}  # keywords that change what is shown, not what is done
COMPARED = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult}
COUNTERPARTS = {"any": "all", "all": "any", "min": "max", "max": "min"}
COUNTERPARTS |= {"startswith": "endswith", "endswith": "startswith", "issubset": "issuperset"}


@frozen
class Mutant:
    """One fault in one module. ``key`` names it by its code's text, so that it stays when lines move."""

    path: str
    function: str  # qualified name; "" at module level
    operator: str
    before: str
    after: str
    ordinal: int  # among those of a function with the same text
    line: int
    edit: "Edit" = field(eq=False, repr=False)

    @property
    def key(self) -> str:
        """Return the name of this fault: module, function, operator, the code before and after."""
        again = f" #{self.ordinal}" if self.ordinal else ""
        return f"{self.path}::{self.function or '(module)'}::{self.operator}::{self.before} => {self.after}{again}"

    def drawn(self, percent: int, seed: int) -> bool:
        """Say whether this mutant is in a sample; a larger sample holds every smaller one of its seed."""
        return int(sha256(f"{seed} {self.key}".encode()).hexdigest()[:8], 16) % 100 < percent


@define
class Edit:
    """A node and what takes its place; the tree is changed for as long as the edit is entered."""

    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    new: ast.AST

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node

    def __enter__(self) -> None:
        new = copy.copy(self.new)  # it may stand in the tree itself, and keeps its place there
        self._put(ast.fix_missing_locations(ast.copy_location(new, self.node)))

    def __exit__(self, *_: object) -> None:
        self._put(self.node)


def mutants_of(path: str, source: str) -> tuple[ast.Module, list[Mutant]]:
    """Return a module's tree and every mutant of it."""
    tree = ast.parse(source)
    counted: dict[tuple[str, ...], int] = {}
    mutants = []
    for function, operator, edit in _walk(tree, ""):
        before, after = _text(edit.node), _text(edit.new)
        if before == after:
            continue
        same = (function, operator, before, after)
        counted[same] = counted.get(same, 0) + 1
        line = getattr(edit.node, "lineno", 0)
        mutants.append(Mutant(path, function, operator, before, after, counted[same] - 1, line, edit))
    return tree, mutants


def _text(node: ast.AST) -> str:
    """Return a node's code on one line; of long code, its beginning and a digest of the whole."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 160 else f"{text[:150]}… {sha256(text.encode()).hexdigest()[:8]}"


def _walk(node: ast.AST, function: str) -> Iterator[tuple[str, str, Edit]]:
    for name, value in ast.iter_fields(node):
        if _is_commentary(node, name):
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            place = index if isinstance(value, list) else None
            for operator, new in _replacements(child, node, name):
                yield function, operator, Edit(node, name, place, child, new)
            yield from _walk(child, _inner(child, function))


def _inner(node: ast.AST, function: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return f"{function}.{node.name}" if function else node.name
    return function


def _is_commentary(node: ast.AST, name: str) -> bool:
    """Say whether a field of a node is left out."""
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
        return True
    if name in ("annotation", "returns", "decorator_list", "bases", "ctx", "op", "ops"):
        return True
    if isinstance(node, ast.Assign) and (ast.unparse(node.targets[0]) == "__all__" or _is_alias(node.value)):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in COMMENTARY


def _is_alias(value: ast.expr) -> bool:
    """Say whether an assignment names a type: ``Pause = Callable[[float, Row], None]``."""
    return isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) and value.value.id in GENERIC


def _replacements(node: ast.AST, parent: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield (operator, what takes a node's place)."""
    if isinstance(node, ast.stmt):
        yield from _of_statement(node)
    elif isinstance(node, ast.expr) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        if name in ("test", "ifs") and isinstance(parent, ast.If | ast.While | ast.IfExp | ast.comprehension):
            yield "condition", ast.Constant(True)  # noqa: FBT003  the node's value
            if name == "test" and not isinstance(parent, ast.While):
                yield "condition", ast.Constant(False)  # noqa: FBT003  likewise
        yield from _of_expression(node, parent, name)
    elif isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield "handler", _with(node, type=ast.Tuple([], ast.Load()))


def _with(node: Any, **fields: Any) -> Any:
    """Return a shallow copy of a node with other fields."""
    again = copy.copy(node)
    for name, value in fields.items():
        setattr(again, name, value)
    return again


def _of_statement(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    if _is_left_out(node):
        yield "statement", ast.Pass()
    elif isinstance(node, ast.With) and all(item.optional_vars is None for item in node.items):
        yield "with", _with(node, items=[ast.withitem(_null_context())])
    elif isinstance(node, ast.For):
        several = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
        first = ast.Subscript(several, ast.Slice(upper=ast.Constant(1)), ast.Load())
        yield "loop", _header(node, first)
        if not (isinstance(node.target, ast.Name) and node.target.id == "_"):
            yield "order", _header(node, ast.Call(ast.Name("reversed", ast.Load()), [several], []))


def _is_left_out(node: ast.stmt) -> bool:
    """Say whether a mutant forgets this statement: not what names a value, as nothing would run without it."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        return not (isinstance(called, ast.Attribute) and called.attr in COMMENTARY)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.YieldFrom | ast.Yield)
    if isinstance(node, ast.Assign):
        return not isinstance(node.targets[0], ast.Name | ast.Tuple)
    return isinstance(node, ast.AugAssign | ast.Delete | ast.Raise | ast.Continue | ast.Break)


def _null_context() -> ast.expr:
    return ast.parse("__import__('contextlib').nullcontext()", mode="eval").body


def _header(node: ast.For, iterated: ast.expr) -> ast.For:
    loop: ast.For = _with(node, iter=iterated)
    return loop


def _of_expression(node: ast.expr, parent: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.BoolOp(values=values):
            for index in range(len(values)):
                rest = _without(values, index)
                yield "operand", rest[0] if len(rest) == 1 else _with(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not", operand
        case ast.Compare(ops=[operator]):
            yield "comparison", _with(node, ops=[COMPARED[type(operator)]()])
        case ast.BinOp():
            yield from _of_operation(node)
        case ast.Constant(value=value):
            yield from _of_constant(value, parent, name)
        case ast.Dict() | ast.Tuple() | ast.List() | ast.Set():
            yield from _of_display(node, parent)
        case ast.Call():
            yield from _of_call(node)


def _of_display(node: ast.Dict | ast.Tuple | ast.List | ast.Set, parent: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield a list, or the like, without each of its elements; in another order, where it takes up other lists."""
    if isinstance(node, ast.Dict):
        several = range(len(node.keys)) if len(node.keys) > 1 else ()
        for index in several:
            yield "element", _with(node, keys=_without(node.keys, index), values=_without(node.values, index))
        return
    elements = node.elts
    if len(elements) > 1 and not isinstance(parent, ast.Subscript | ast.Return):
        for index in range(len(elements)):
            yield "element", _with(node, elts=_without(elements, index))
    takes_up = any(isinstance(element, ast.Starred) for element in elements)
    if len(elements) > 1 and takes_up and not isinstance(node, ast.Set):
        yield "order", _with(node, elts=elements[::-1])


def _without(nodes: list[Any], index: int) -> list[Any]:
    return [node for place, node in enumerate(nodes) if place != index]


def _of_operation(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    texts = (ast.JoinedStr, ast.List, ast.Tuple)
    shown = any(isinstance(side, texts) or _is_text(side) for side in (node.left, node.right))
    if type(node.op) in COMPUTED and not shown:
        yield "arithmetic", _with(node, op=COMPUTED[type(node.op)]())
    elif isinstance(node.op, ast.BitOr | ast.BitAnd):
        yield "operand", node.left
        yield "operand", node.right


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _of_constant(value: Any, parent: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int | float):
        yield "constant", ast.Constant(value + 1)
    elif isinstance(value, str) and NAME.fullmatch(value) and not _is_key(parent, name):
        yield "name", ast.Constant(f"{value}_")


def _is_key(parent: ast.AST, name: str) -> bool:
    """Say whether a constant is a key: another one is a KeyError, and says nothing."""
    return isinstance(parent, ast.Subscript) or (isinstance(parent, ast.Dict) and name == "keys")


def _of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    for index, keyword in enumerate(node.keywords):
        if keyword.arg and keyword.arg not in SHOWN:
            yield "keyword", _with(node, keywords=_without(node.keywords, index))
    if isinstance(node.func, ast.Name) and node.func.id in COUNTERPARTS:
        yield "counterpart", _with(node, func=ast.Name(COUNTERPARTS[node.func.id], ast.Load()))
    elif isinstance(node.func, ast.Attribute) and node.func.attr in COUNTERPARTS:
        yield "counterpart", _with(node, func=_with(node.func, attr=COUNTERPARTS[node.func.attr]))
