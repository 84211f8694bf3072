"""What is raised by code that others wrote: any exception, and one that fails even to say what it is."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

UNREADABLE = "its message cannot be read"
MOST_LINKS = 100


class Stopped(BaseException):
    """The parent asked this process to end. No plugin's code is to catch it."""


# What ends the process where an exception is raised while its native part is loaded.
FRAGILE = "torch"
WAIT_SECONDS = 0.1


class _Interrupts:
    """The handler of signals that interrupt. came: whether one did; a plugin may raise KeyboardInterrupt, too. While
    torch is loaded, the signal waits.
    """

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if _is_loading(frame):
            again = threading.Timer(WAIT_SECONDS, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
        self.came = True
        raise KeyboardInterrupt


def _is_loading(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == FRAGILE:
            return True
        frame = frame.f_back
    return False


#: Of this process.
interrupts = _Interrupts()


def notice_interrupts() -> None:
    """From now on Ctrl-C is told from a plugin's own KeyboardInterrupt. A process that ignores Ctrl-C goes on so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupts)


def is_a_stop(error: BaseException) -> bool:
    """Whether the user or the parent ends this process; otherwise whatever was raised is its raiser's own."""
    if isinstance(error, KeyboardInterrupt):
        handler = signal.getsignal(signal.SIGINT)
        return interrupts.came or not (handler is interrupts or handler is signal.SIG_IGN)
    return isinstance(error, Stopped)


def message_of(error: BaseException) -> str:
    """What the error says, as plain text; that it cannot be read where it raises instead, or gives no text."""
    try:
        return "".join([str(error)])  # a plain str, of a subclass too
    except BaseException as another:
        if is_a_stop(another):
            raise
        return UNREADABLE


def trace_of(error: BaseException) -> str:
    """The error's traceback, with all that it came from."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as another:
        if is_a_stop(another):
            raise
        return "".join(traceback.format_tb(error.__traceback__)) + f"{type(error).__name__}: {message_of(error)}\n"


def links(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, and so on to the first. A plugin may hide one behind
    another, or tie them to a ring.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen and len(seen) < MOST_LINKS:
        seen.add(id(error))
        yield error
        error = error.__context__ if error.__cause__ is None else error.__cause__


def one_line(error: BaseException, most: int = 500) -> str:
    """The error's message on one line of at most so many characters; the error's class where it says nothing."""
    return " ".join(message_of(error).split())[:most] or type(error).__name__


@dataclass(frozen=True)
class Failure:
    """An exception from a plugin: one line, and its traceback."""

    error: str
    traceback: str
    exception: BaseException

    @classmethod
    def of(cls, exception: BaseException) -> Failure:
        message, name = one_line(exception, most=200), type(exception).__name__
        return cls(name if message == name else f"{name}: {message}", trace_of(exception), exception)


def attempt(call: Callable[[], T]) -> T | Failure:
    """`call()`, or how it failed. For code of plugins: what it raises (even sys.exit) must not stop the tool."""
    try:
        return call()
    except BaseException as exception:  # noqa: BLE001 - see above; the traceback is kept
        for stop in filter(is_a_stop, _parts(exception)):
            raise stop from None
        return Failure.of(exception)


def _parts(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, and all of a group."""
    for link in links(error):
        yield link
        if isinstance(link, BaseExceptionGroup):
            for each in link.exceptions:
                yield from links(each)
