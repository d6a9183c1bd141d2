"""docs/api.md: the public names of drfsm and of drfsm.testing, from their signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import drfsm
import drfsm.testing
from drfsm.errors import DrfsmError
from drfsm.spec.diagram import markdown_table, plain

HEAD = """\
# The library's public names

What `from drfsm import …` and `from drfsm.testing import …` offer, drawn from the code; all else may change in any
version. [library.md](library.md) begins with a machine in ten lines, [authoring.md](authoring.md) explains each part.

"""
_HOMES = re.compile(r"\b(?:collections\.abc|typing|pathlib|builtins|drfsm(?:\.\w+)+)\.(?=[A-Za-z])")
_QUOTED_TYPE = re.compile(r"(?<!= )'([A-Za-z_]\w*)'")
_WIDE = 100
_HIDDEN_DEFAULT = re.compile(r"= (?:NOTHING|<[^,)]*(?:<[^>]*>)?[^,)]*>)")


def page() -> str:
    """Return the page."""
    return HEAD + "\n".join("\n".join(_module(module)) for module in (drfsm, drfsm.testing))


def _module(module: ModuleType) -> Iterator[str]:
    yield f"## {module.__name__}\n"
    names = {name: getattr(module, name) for name in module.__all__ if name != "__version__"}
    errors = {name: value for name, value in names.items() if isinstance(value, type) and issubclass(value, DrfsmError)}
    for name, value in names.items():
        if name not in errors:
            yield from _entry(name, value)
    if errors:
        yield "### Errors\n"
        yield "Each has `exit_code`, `hint` (what to do next) and `lines()`, as the command prints them.\n"
        rows = ((f"`{name}`", str(int(error.exit_code)), _prose(_doc(error))) for name, error in errors.items())
        yield markdown_table(("error", "exit code", "what it says"), rows)


def _entry(name: str, value: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if not inspect.isclass(value) and not inspect.isfunction(value):
        yield f"```python\n{name} = {_short(str(value))}\n```\n"
        return
    signature = _signature(value)
    if signature:
        yield f"```python\n{_folded(name + signature)}\n```\n"
    yield f"{plain(_prose(_doc(value)))}\n"
    if inspect.isclass(value) and issubclass(value, Enum):
        yield markdown_table(("name", "value"), ((f"`{member.name}`", str(member.value)) for member in value))
    elif inspect.isclass(value):
        rows = [(f"`{member}{_signature(function)}`", _prose(_doc(function))) for member, function in _methods(value)]
        if rows:
            yield markdown_table(("method", "what it does"), rows)


def _methods(value: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(value).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            yield name, function


def _signature(value: Any) -> str:
    """Return a signature without the homes of its types; "" where Python has none, or it says nothing."""
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    parameters = [parameter for name, parameter in signature.parameters.items() if name not in ("self", "cls")]
    if inspect.isclass(value) and issubclass(value, Enum):
        return ""
    if inspect.isclass(value) and [parameter.name for parameter in parameters] == ["args", "kwargs"]:
        return ""  # a protocol's
    text = str(signature.replace(parameters=parameters))
    return _HIDDEN_DEFAULT.sub("= ...", _short(text.removesuffix(" -> None") if inspect.isclass(value) else text))


def _short(text: str) -> str:
    return _QUOTED_TYPE.sub(r"\1", _HOMES.sub("", text))


def _folded(signature: str) -> str:
    """Return a signature with a line for each parameter where it is long."""
    if len(signature) <= _WIDE:
        return signature
    opening, depth, start, parts = signature.index("("), 0, 0, []
    for place, letter in enumerate(signature[opening:], opening):
        depth += (letter in "([") - (letter in ")]")
        if (letter == "," and depth == 1) or depth == 0:
            parts.append(signature[start or opening + 1 : place].strip())
            start = place + 1
        if depth == 0:
            break
    lines = "".join(f"    {part},\n" for part in parts if part)
    return f"{signature[:opening]}(\n{lines}){signature[start:]}"


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def _prose(doc: str) -> str:
    """Return a docstring as one paragraph of Markdown."""
    return " ".join(doc.replace("``", "`").split())
