"""What is contained, and what passes."""

from __future__ import annotations

import pickle
import signal

import pytest

from kdharness.errors import CellError, Contained, DeviceLost, UnknownName
from kdharness.failures import Stopped


@pytest.mark.parametrize("error", [ValueError("no"), CellError("NaN", "loss is NaN")])
def test_an_error_is_one_cell_s(error: Exception) -> None:
    told: list[Exception] = []
    with Contained(told.append) as failed:
        raise error
    assert told == [error]
    assert failed


def test_sys_exit_becomes_an_error() -> None:
    told: list[Exception] = []
    with Contained(told.append):
        raise SystemExit(3)
    assert str(told[0]) == "it called sys.exit(3)"


class Quit(BaseException):
    """Of a plugin's own kind."""


@pytest.mark.parametrize(
    ("error", "message"),
    [(Quit("no more"), "it raised Quit: no more"), (GeneratorExit(), "it raised GeneratorExit")],
)
def test_what_is_no_exception_becomes_an_error_with_its_traceback(error: BaseException, message: str) -> None:
    told: list[Exception] = []
    with Contained(told.append):
        raise error
    assert isinstance(told[0], CellError)
    assert (told[0].error_type, str(told[0]), told[0].__cause__) == (type(error).__name__, message, error)


def test_a_keyboard_interrupt_is_one_cell_s_where_ctrl_c_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Exception] = []
    monkeypatch.setattr("signal.getsignal", lambda number: signal.SIG_IGN)
    monkeypatch.setattr("kdharness.failures.interrupts.came", False)
    with Contained(told.append):
        raise KeyboardInterrupt
    assert str(told[0]) == "it raised KeyboardInterrupt"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stopped(), DeviceLost("device-side assert triggered")])
def test_what_belongs_to_no_cell_passes(error: BaseException) -> None:
    told: list[Exception] = []
    with pytest.raises(type(error)), Contained(told.append) as failed:
        raise error
    assert told == []
    assert not failed


def test_without_an_error_nothing_is_told() -> None:
    told: list[Exception] = []
    with Contained(told.append) as failed:
        pass
    assert (told, bool(failed)) == ([], False)


def test_an_unknown_name_tells_the_nearest_or_all_valid_ones() -> None:
    many = {f"x{n:02}": lambda: None for n in range(14)}
    assert str(UnknownName("method", "kdd", ["kd", "at"], "--methods")) == (
        "unknown method 'kdd' (--methods); did you mean 'kd'?"
    )
    assert str(UnknownName("method", "qqqq", many)) == (
        f"unknown method 'qqqq'; valid: {', '.join([*many][:12])} and 2 more"
    )
    assert str(UnknownName("method", "qqqq", ())) == "unknown method 'qqqq'; there is none"


def test_an_unknown_name_can_be_pickled_whatever_held_the_valid_ones() -> None:
    error = UnknownName("method", "kdd", {"kd": lambda: None}, "--methods")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
