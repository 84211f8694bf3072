"""Any value at any place of a benchmark file: a benchmark, or one line that names the file."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.protocol.benchmark import Benchmark, available, parse

hypothesis = pytest.importorskip("hypothesis", reason="needs the extra 'test'")
strategies = hypothesis.strategies

WORDS = strategies.text(max_size=8)
TOML_VALUES = strategies.recursive(
    strategies.booleans() | strategies.integers(-(2**70), 2**70) | strategies.floats() | strategies.dates() | WORDS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
CONTENTS = {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in available().items()}


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a document but itself."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(document)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return made


@pytest.mark.parametrize("name", ["digits", "byot", "rona"])
@hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)
@hypothesis.given(data=strategies.data())
def test_any_value_at_any_place_is_a_benchmark_or_one_line(name: str, data: Any) -> None:
    document = CONTENTS[name]
    at = data.draw(strategies.sampled_from(list(places(document))))
    content = {"name": name, **changed(document, at, data.draw(TOML_VALUES))}
    said = fault_of(content)
    # A text in the recipe's place is the name of a file of recipes.
    assert said == "" or said.startswith("mine.toml: ") or (said.startswith("unknown recipe ") and "(mine.toml" in said)
    assert said.isprintable()
    assert len(said) < 400


def fault_of(content: dict[str, Any]) -> str:
    """The one line on what is wrong; "" for a benchmark."""
    try:
        assert isinstance(parse(content, "mine.toml"), Benchmark)
    except UserError as error:
        return str(error)
    return ""
