"""Values with their places, and variants as text."""

from __future__ import annotations

from typing import Any

import pytest

from kdharness.api.parameters import Parameter
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError
from kdharness.protocol.variant import (
    COMMAND,
    Value,
    coerced,
    commanded,
    completed,
    lacking,
    parse_variant,
    untrainable,
    values_of,
    variant_text,
)


class Fake:
    terms = {"ce": "task", "kd": "distill"}


SPEC = MethodSpec(
    "fake",
    Fake,  # type: ignore[arg-type]
    "",
    "",
    (Parameter("heat", float, 4.0), Parameter("stages", tuple[int, ...], (0, 1)), Parameter("on", bool, False)),
)


def test_every_value_is_coerced_and_knows_its_place() -> None:
    assert completed(SPEC, {"heat": "2"}, "benchmark 'b'") == {
        "heat": Value(2.0, "benchmark 'b'"),
        "stages": Value([0, 1], "default"),
        "on": Value(False, "default"),
    }
    assert coerced(SPEC, {"stages": "1,2", "on": "true"}, COMMAND) == {
        "stages": Value([1, 2], "--set fake.stages"),
        "on": Value(True, "--set fake.on"),
    }
    assert [commanded(place) for place in ("--set fake.on", "--settings", "default", "")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("given", "place", "says"),
    [
        ({"heat": "hot"}, COMMAND, "method 'fake': parameter 'heat': 'hot' is not a valid float: "),
        ({"head": 1}, COMMAND, "unknown parameter of method 'fake' 'head' (--set fake.head); did you mean 'heat'?"),
        ({"head": 1}, "benchmark 'b'", "unknown parameter of method 'fake' 'head' (benchmark 'b'); did you mean"),
    ],
)
def test_mistakes_name_the_place(given: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        coerced(SPEC, given, place)
    assert str(caught.value).startswith(says)
    assert ("(--set fake.heat)" in str(caught.value)) == ("heat" in given)


@pytest.mark.parametrize(
    ("changes", "without", "text"),
    [
        ({}, (), ""),
        ({"heat": 2.5}, (), "heat=2.5"),
        ({"stages": [2, 3], "heat": 8.0}, ("kd", "ce"), "heat=8,stages=2+3,without=ce,without=kd"),
        ({"on": True}, (), "on=True"),
    ],
)
def test_a_variant_and_its_text(changes: dict[str, Any], without: tuple[str, ...], text: str) -> None:
    own = values_of(completed(SPEC, {}, ""))
    assert variant_text({**own, **changes}, own, without) == text
    given, dropped = parse_variant(f"fake[{text}]", SPEC, "claim 1")
    assert values_of(given) == changes
    assert set(dropped) == set(without)


def test_what_cannot_be_left_out() -> None:
    assert lacking(Fake.terms, ("ce", "hint")) == ["hint"]
    assert lacking({}, ("hint",)) == []  # it declares nothing
    assert untrainable("fake", Fake.terms, ("ce",)) is None
    assert untrainable("fake", {}, ("ce",)) is None
    assert untrainable("fake", Fake.terms, ("ce", "kd")) == "without ce and kd no loss term is left to train by"
    assert untrainable("fake", Fake.terms, ("hint",)) == (
        "without names the term 'hint', which 'fake' lacks (it has ce, kd)"
    )
