"""What a Python file says: a digest that layout, comments and docstrings do not move, and what it imports."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

DIGITS = 16

# Places, which say nothing of what is done: whether a name is read or written follows from where it stands.
_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Syntax:
    """tree: the digest of the syntax tree; imports: modules that are imported anywhere in the file, or may be."""

    tree: str
    imports: tuple[str, ...]


def syntax_of(source: bytes, module: str, is_package: bool = False) -> Syntax:
    """Of a file that is imported as `module`. What is no Python is its own digest, and imports nothing."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return Syntax(hashlib.sha256(source).hexdigest()[:DIGITS], ())
    found = hashlib.sha256("".join(_text(tree)).encode())
    package = module if is_package else module.rpartition(".")[0]
    return Syntax(found.hexdigest()[:DIGITS], tuple(sorted(set(_imports(tree, package)))))


def _text(value: object) -> Iterator[str]:
    """The tree as text, equal in all versions of Python that have the same syntax.

    Fields stand in order of their names, and those without content are left out: later versions add such ones.
    """
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, content in sorted(_fields(value)):
            yield f" {name}="
            yield from _text(content)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _text(item)
            yield ","
        yield "]"
    elif isinstance(value, str):
        yield json.dumps(value)  # repr() of some characters depends on the version
    else:
        yield f"{type(value).__name__} {value!r}"


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    """The fields that have content; of a Constant its value, whatever that is."""
    for name in node._fields:
        content: object = getattr(node, name, None)
        if isinstance(node, _DOCUMENTED) and name == "body":
            content = _without_docstring(node)
        elif isinstance(node, ast.JoinedStr) and name == "values":
            content = _merged(node.values)
        is_empty = content is None or content == []
        if name not in _LEFT_OUT and (not is_empty or isinstance(node, ast.Constant)):
            yield name, content


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]


def _merged(values: list[ast.expr]) -> list[object]:
    """The parts of an f-string: texts beside each other as one, empty ones left out, as versions differ in them."""
    found: list[object] = []
    for part in values:
        text = part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else None
        if text is None:
            found.append(part)
        elif found and isinstance(found[-1], str):
            found[-1] += text
        elif text:
            found.append(text)
    return found


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names. Of `from a import b` both a and a.b, which may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
