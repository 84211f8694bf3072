"""Shared functions are noted as they are each time, though what stands as it did is not read again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch.optim import SGD

from kdharness import text as module
from kdharness.engine.phase_clock import PhaseClock
from kdharness.process.shared_code import all_shared_code

NAME = "kdharness.text.planted"


def function(value: int) -> Callable[[], int]:
    return lambda: value


def test_what_is_as_it_was_is_put_back_after_each_note() -> None:
    all_shared_code()
    code, whole = all_shared_code(), PhaseClock.__init__
    PhaseClock.__init__ = function(0)  # type: ignore[assignment, method-assign]
    assert code.put_back() == [f"{PhaseClock.__module__}.PhaseClock.__init__"]
    assert PhaseClock.__init__ is whole
    assert code.put_back() == []


def test_a_name_that_came_between_two_notes_is_of_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    first = all_shared_code()
    mine = function(1)
    monkeypatch.setattr(module, "planted", mine, raising=False)
    second = all_shared_code()
    monkeypatch.setattr(module, "planted", function(2))
    assert first.stands
    assert second.put_back() == [NAME]
    assert module.planted is mine  # type: ignore[attr-defined]


def test_a_value_that_became_a_function_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "planted", None, raising=False)
    all_shared_code()
    mine = function(1)
    monkeypatch.setattr(module, "planted", mine)
    code = all_shared_code()
    monkeypatch.setattr(module, "planted", None)
    assert code.put_back() == [NAME]
    assert module.planted is mine  # type: ignore[attr-defined]


def test_another_inside_of_a_function_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = function(1), function(2)
    monkeypatch.setattr(module, "planted", mine, raising=False)
    all_shared_code()
    mine.__defaults__ = (3,)  # type: ignore[attr-defined]
    code = all_shared_code()
    assert code.put_back() == []
    mine.__defaults__ = other.__defaults__  # type: ignore[attr-defined]
    assert code.put_back() == [NAME]
    assert mine.__defaults__ == (3,)  # type: ignore[attr-defined]


def test_what_came_to_a_class_and_hides_nothing_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    code = all_shared_code()
    monkeypatch.setattr(SGD, "planted", function(1), raising=False)
    assert not code.stands
    assert code.put_back() == []
    assert code.stands
    # Beside it, one that hides a base's is still noticed, and alone removed.
    SGD.zero_grad = function(2)  # type: ignore[assignment, method-assign]
    assert code.put_back() == ["torch.optim.sgd.SGD.zero_grad"]
    assert "zero_grad" not in vars(SGD)
    assert "planted" in vars(SGD)
