"""What is wrong in a benchmark file, as one line: the file, the key, the value and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from kdharness.text import plain

MOST_SHOWN = 80


def explain(error: ValidationError, table: type[BaseModel], source: str, under: tuple[str, ...] = ()) -> str:
    """The first fault found.

    table: what the content was held against. source: the file. under: the keys that lead to the table in it.
    """
    return plain(_first_fault(error, table, source, under))


def _first_fault(error: ValidationError, table: type[BaseModel], source: str, under: tuple[str, ...]) -> str:
    first = error.errors()[0]
    place, valid = _located(table, tuple(str(part) for part in first["loc"]))
    key = ".".join((*under, *place))
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], valid, n=2)
        hint = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
        return f"{source}: unknown key '{key}'{hint}"
    if first["type"] == "missing":
        return f"{source}: the key '{key}' is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{source}: {key} = {shortened(repr(first['input']))}: {message[0].lower()}{message[1:]}"


def shortened(text: str) -> str:
    """A value as a message shows it: what is long says no more than its beginning."""
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _located(table: type[BaseModel], location: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys that lead to a place as the file has them, and the valid keys of the table that holds it.

    Pydantic's location of a table of several kinds has the kind as a further part, which is no key.
    """
    found: list[str] = []
    kind: Any = table
    for part in location[:-1]:
        member = next((model for model in _kinds(kind) if _is_kind(model, part)), None)
        if member is None:
            found.append(part)
        kind = member or _inner(kind, part)
    valid = tuple(kind.model_fields) if _is_table(kind) else ()
    return (*found, location[-1]), valid


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _kinds(kind: Any) -> Iterator[type[BaseModel]]:
    """The tables that an annotated union of tables may be."""
    if get_origin(kind) is Annotated:
        yield from (model for model in get_args(get_args(kind)[0]) if _is_table(model))


def _is_kind(model: type[BaseModel], tag: str) -> bool:
    return tag in get_args(model.model_fields["kind"].annotation)


def _inner(kind: Any, part: str) -> Any:
    """The type of what stands under a key of a table, or at a place of a list; None where nothing is said of it."""
    if _is_table(kind):
        field = kind.model_fields.get(part)
        return field and field.annotation
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is dict:
        return arguments[1]
    return arguments[0] if origin is tuple else None
