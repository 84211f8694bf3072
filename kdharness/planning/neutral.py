"""What of a set of typed values enters a document of identity: a field that was added later, only where it acts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from kdharness.api.parameters import Neutral, Parameter

# What declares the values: a model's class, or the parameters of a method, model or dataset.
Declared = type[BaseModel] | Iterable[Parameter]


def key_part(values: Mapping[str, Any], declared: Declared) -> dict[str, Any]:
    """JSON values without those fields that have their neutral value: a field that is added later moves no key."""
    neutral = _neutral_values(declared)
    return {name: v for name, v in values.items() if name not in neutral or not _equal(v, neutral[name])}


def model_part(model: BaseModel) -> dict[str, Any]:
    """The key part of a pydantic model."""
    return key_part(model.model_dump(mode="json"), type(model))


def completed_part(part: Mapping[str, Any], declared: Declared) -> dict[str, Any]:
    """The values that a key part stands for: a field that is left out has its neutral value, not today's default."""
    return {**_neutral_values(declared), **part}


def _neutral_values(declared: Declared) -> dict[str, Any]:
    """By field, for those that have one, JSON-valued."""
    if not isinstance(declared, type):
        return {p.name: p.canonical(p.neutral.value) for p in declared if p.neutral is not None}
    found = {}
    for name, field in declared.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Neutral):
                found[name] = to_jsonable_python(mark.value)
    return found


def _equal(one: Any, other: Any) -> bool:
    """0 and 0.0 are one value, as in the canonical text; neither is false."""
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)
