"""A step of a built-in method dispatches as many operations as it did, and waits for no device."""

from __future__ import annotations

import pytest
from builtin_cases import builtin_cases
from pinned_operations import counts_of, limits, nearest, pinned, version

from kdharness.testing import MethodCase

CASES = builtin_cases()
LIMITS = limits(version(), pinned())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_operations_of_one_step(case: MethodCase) -> None:
    for label, counts in counts_of(case).items():
        assert label in LIMITS, f"{label} is new: python tests/rehearsal/pinned_operations.py --update"
        operations, read_backs = LIMITS[label]
        assert counts["read_backs"] == read_backs
        assert counts["operations"] in operations, f"{label}; meant to change? then --update"


def test_no_built_in_waits_for_a_device() -> None:
    """Whatever is pinned: no step looks at a number of the device, or makes a size of one. There is no exception."""
    assert [label for label, (_, read_backs) in LIMITS.items() if read_backs] == []


def test_nothing_is_pinned_that_is_gone() -> None:
    labels = {case.label for case in CASES}
    assert [label for label in LIMITS if label not in labels and label.rpartition(" ")[0] not in labels] == []


@pytest.mark.parametrize(("wanted", "found"), [("2.9", "2.9"), ("2.8", "2.9"), ("2.12", "2.14"), ("3.0", "2.14")])
def test_the_nearest_version(wanted: str, found: str) -> None:
    assert nearest(wanted, ["2.14", "2.9"]) == found


def test_another_version_may_add_a_tenth_and_no_read_back() -> None:
    content = {"2.14": {"kd": {"operations": 100, "read_backs": 0}}}
    assert limits("2.14", content) == {"kd": (range(100, 101), 0)}
    (operations, read_backs) = limits("2.15", content)["kd"]
    assert (max(operations), read_backs) == (110, 0)
