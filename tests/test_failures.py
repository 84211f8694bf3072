"""Exceptions that cannot say what they are, and those that nobody is to hold."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kdharness.failures import (
    UNREADABLE,
    Failure,
    Stopped,
    attempt,
    links,
    message_of,
    one_line,
    trace_of,
)


class Raises(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class NoText(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class Text(str):
    """A text of another kind, which does not bear being used."""

    def split(self, *of_text: object) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no")


class Odd(Exception):
    def __str__(self) -> str:
        return Text("two\nlines")

    @property
    def __notes__(self) -> list[str]:
        raise RuntimeError("no notes")


def raised(error: BaseException) -> Failure:
    def fail() -> None:
        raise error

    found = attempt(fail)
    assert isinstance(found, Failure)
    return found


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit"),
        (Raises(), f"Raises: {UNREADABLE}"),
        (NoText(), f"NoText: {UNREADABLE}"),
        (Odd(), "Odd: two lines"),
    ],
)
def test_whatever_is_raised_becomes_one_line_and_a_traceback(error: BaseException, line: str) -> None:
    found = raised(error)
    assert found.error == line
    assert "in fail" in found.traceback
    assert type(error).__name__ in found.traceback


def test_a_message_is_plain_text() -> None:
    assert type(message_of(Odd())) is str
    assert one_line(Odd()) == "two lines"
    assert one_line(ValueError("x" * 600)) == "x" * 500


@pytest.mark.parametrize("stop", [Stopped(), KeyboardInterrupt()])
def test_what_ends_the_process_is_not_held_even_hidden(stop: BaseException) -> None:
    def fail() -> None:
        try:
            raise stop
        except BaseException:  # noqa: BLE001 - as a plugin does
            raise ExceptionGroup("some failed", [ValueError("no")]) from None

    with pytest.raises(type(stop)):
        attempt(fail if isinstance(stop, Stopped) else lambda: (_ for _ in ()).throw(stop))
    if isinstance(stop, Stopped):
        with pytest.raises(Stopped):
            raised(stop)


def test_errors_that_are_tied_to_a_ring_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert list(links(first)) == [first, second]
    assert "ValueError: a" in trace_of(first)


def told_apart(what: str, number: str = "SIGINT") -> str:
    """What a process that notices interrupts prints of one that a plugin raises, or that comes by signal."""
    script = f"""
        import os, signal, time
        from kdharness.failures import Failure, attempt, notice_interrupts
        from kdharness.execution.signals import terminations_interrupt
        notice_interrupts()
        def by_signal():
            with terminations_interrupt():
                os.kill(os.getpid(), signal.{number})
                time.sleep(5)
        def by_plugin():
            raise KeyboardInterrupt
        try:
            print(attempt({what}).error)
        except KeyboardInterrupt:
            print("passed")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    return done.stdout.strip()


def test_ctrl_c_is_told_from_a_plugin_s_own() -> None:
    assert told_apart("by_plugin") == "KeyboardInterrupt"
    assert told_apart("by_signal") == "passed"
    assert told_apart("by_signal", "SIGTERM") == "passed"


def test_ctrl_c_waits_while_torch_is_loaded(tmp_path: Path) -> None:
    """Raised in there, it would end the process with a fault of memory."""
    lines = ("import os, signal, time", "os.kill(os.getpid(), signal.SIGINT)", "time.sleep(0.3)", "print('whole')")
    (tmp_path / "torch.py").write_text("\n".join(lines))
    script = f"""
        import sys, time
        from kdharness.failures import notice_interrupts
        sys.path.insert(0, {str(tmp_path)!r})
        notice_interrupts()
        try:
            import torch
            time.sleep(30)
        except KeyboardInterrupt:
            print("interrupted", "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["whole", "interrupted", "True"]
