"""What a process has beside torch, and all cells in it share: limits, folder, environment, signals, streams, …"""

from __future__ import annotations

import gc
import importlib
import locale
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from kdharness.process.global_hooks import Setting

if sys.platform != "win32":
    import resource

_LIMITS = ("FSIZE", "NOFILE", "AS", "DATA", "STACK", "CPU", "NPROC", "MEMLOCK")
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGPIPE", "SIGXFSZ", "SIGCHLD", "SIGUSR1", "SIGUSR2")
_STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True, eq=False)
class _Growing:
    """Something to which modules that are loaded for the first time may add.

    includes: whether what was found later holds all that was found before. modules: how many were loaded.
    """

    found: Any
    includes: Callable[[Any, Any], bool]
    modules: int

    def __eq__(self, later: object) -> bool:
        if not isinstance(later, _Growing):
            return NotImplemented
        if self.found == later.found:
            return True
        return later.modules > self.modules and self.includes(later.found, self.found)


def _growing(name: str, read: Callable[[], Any], put: Callable[[Any], object], includes: Any) -> Setting:
    """What reads as before is the same object again: it is neither made nor compared."""
    last = _Growing(None, includes, -1)

    def reading() -> _Growing:
        nonlocal last
        found, modules = read(), len(sys.modules)
        if last.modules != modules or last.found != found:
            last = _Growing(found, includes, modules)
        return last

    return name, reading, lambda before: put(before.found)


# -- the folder, the mode of files, limits ---------------------------------------------------------------------------


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _put_folder(found: str) -> None:
    with suppress(OSError):
        os.chdir(found)


def _mode() -> int:
    """There is no other way to ask; between the two calls new files are the user's alone."""
    mode = os.umask(0o077)
    os.umask(mode)
    return mode


def _limit(name: str) -> Setting:
    number = getattr(resource, f"RLIMIT_{name}")

    def put(found: tuple[int, int]) -> None:
        with suppress(OSError, ValueError):  # who lowers the hard one cannot raise it again
            resource.setrlimit(number, found)

    return _growing(f"the process' limit RLIMIT_{name}", partial(resource.getrlimit, number), put, _no_less)


def _no_less(later: Sequence[int], before: Sequence[int]) -> bool:
    endless = resource.RLIM_INFINITY
    return all(a == endless or (b != endless and a >= b) for a, b in zip(later, before, strict=True))


# -- the environment, and where modules come from ---------------------------------------------------------------------

_environ = os.environ


def _variables() -> tuple[bool, Mapping[Any, Any]]:
    """Whether the mapping is the process' own, and a copy of it, encoded, which takes less than a microsecond."""
    return os.environ is _environ, _environ._data.copy()  # type: ignore[attr-defined]


def _put_variables(found: tuple[bool, Mapping[Any, Any]]) -> None:
    os.environ = _environ  # noqa: B003 - only where another mapping stands in its place
    now = _variables()[1]
    for key in now.keys() - found[1].keys():
        del _environ[_environ.decodekey(key)]
    for key, value in found[1].items():
        if now.get(key) != value:
            _environ[_environ.decodekey(key)] = _environ.decodevalue(value)


def _has_variables(later: tuple[bool, Mapping[Any, Any]], before: tuple[bool, Mapping[Any, Any]]) -> bool:
    return later[0] and before[1].items() <= later[1].items()


def _put_path(found: Sequence[str]) -> None:
    sys.path[:] = found


def _begins_with(later: Sequence[Any], before: Sequence[Any]) -> bool:
    return later[: len(before)] == before


# -- signals, warnings, streams ---------------------------------------------------------------------------------------

# The functions in C: those around them make names of numbers, which takes long.
_in_c: Any = importlib.import_module("_signal")
_handler_of: Callable[[int], Any] = _in_c.getsignal
_numbers = [int(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)]


def _handlers() -> tuple[Any, ...]:
    handlers = tuple(map(_handler_of, _numbers))
    if not hasattr(_in_c, "pthread_sigmask"):
        return handlers
    return *handlers, _in_c.pthread_sigmask(signal.SIG_BLOCK, ())


def _put_handlers(found: Sequence[Any]) -> None:
    for number, handler in zip(_numbers, found, strict=False):
        if handler is not None and _handler_of(number) != handler:
            with suppress(ValueError, OSError):  # a thread may not
                signal.signal(number, handler)
    if len(found) > len(_numbers):
        signal.pthread_sigmask(signal.SIG_SETMASK, found[-1])


def _timer() -> bool:
    return bool(signal.getitimer(signal.ITIMER_REAL)[0])


def _put_timer(found: bool) -> None:
    """One that was stopped is not known any more."""
    if not found:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _filters() -> list[Any]:
    return [*warnings.filters]


def _put_filters(found: Sequence[Any]) -> None:
    warnings.resetwarnings()
    warnings.filters[:] = found  # type: ignore[index]


def _ends_with(later: Sequence[Any], before: Sequence[Any]) -> bool:
    return not before or later[-len(before) :] == before


def _streams() -> list[tuple[Any, bool]]:
    return [(stream, bool(getattr(stream, "closed", False))) for stream in map(vars(sys).get, _STREAMS)]


def _put_streams(found: Sequence[tuple[Any, bool]]) -> None:
    for name, (stream, _) in zip(_STREAMS, found, strict=True):
        setattr(sys, name, stream)


class _Descriptor:
    """One of the first three. What is open there is kept open, so that it can be put back."""

    MOST = 4

    def __init__(self, number: int) -> None:
        self._number = number
        self._kept: dict[tuple[int, int], int] = {}

    def read(self) -> tuple[int, int] | None:
        """Names the file, pipe or terminal; None for a closed one."""
        try:
            status = os.fstat(self._number)
        except OSError:
            return None
        found = status.st_dev, status.st_ino
        if next(reversed(self._kept), None) != found:
            self._keep(found)
        return found

    def _keep(self, found: tuple[int, int]) -> None:
        """As the one that was seen last."""
        with suppress(OSError):
            self._kept[found] = self._kept.pop(found) if found in self._kept else os.dup(self._number)
        if len(self._kept) > self.MOST:
            os.close(self._kept.pop(next(iter(self._kept))))

    def put(self, found: tuple[int, int] | None) -> None:
        with suppress(OSError):
            if found is None:
                os.close(self._number)
            elif found in self._kept:
                os.dup2(self._kept[found], self._number, inheritable=True)


_descriptors = [_Descriptor(number) for number in range(3)]


def _put_locale(found: str) -> None:
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, found)


def _switch_collecting(on: bool) -> None:
    (gc.enable if on else gc.disable)()


PROCESS_SETTINGS: tuple[Setting, ...] = (
    ("the working directory", _folder, _put_folder),
    ("the mode of new files (umask)", _mode, os.umask),
    *(_limit(name) for name in _LIMITS if sys.platform != "win32" and hasattr(resource, f"RLIMIT_{name}")),
    _growing("the environment variables", _variables, _put_variables, _has_variables),
    _growing("where Python looks for modules (sys.path)", lambda: [*sys.path], _put_path, _begins_with),
    ("what the process does on signals", _handlers, _put_handlers),
    *([("the process' timer", _timer, _put_timer)] if hasattr(signal, "getitimer") else ()),
    _growing("the filters of warnings", _filters, _put_filters, _ends_with),
    *((f"file descriptor {number}", each.read, each.put) for number, each in enumerate(_descriptors)),
    ("Python's standard streams", _streams, _put_streams),
    ("the locale", lambda: locale.setlocale(locale.LC_ALL), _put_locale),
    _growing("Python's recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, int.__ge__),
    ("whether Python collects garbage", gc.isenabled, _switch_collecting),
)
