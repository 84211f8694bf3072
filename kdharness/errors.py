"""Errors that are the user's to mend, errors that are one cell's own, and what keeps the latter from the others."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass


class UserError(Exception):
    """A mistake in the input or the environment. The command line prints its message alone, and exits with 2."""


def nearest(name: str, valid: Iterable[str], most: int = 3) -> list[str]:
    """The valid names closest to `name`, best first."""
    return difflib.get_close_matches(name, sorted(set(valid)), n=most, cutoff=0.5)


@dataclass(eq=False)
class UnknownName(UserError):
    """A name that is not among the valid ones.

    what: the kind of thing ("method"). where: the place that the name came from ("--methods").
    """

    what: str
    name: str
    valid: Collection[str]
    where: str = ""

    def __post_init__(self) -> None:
        self.valid = tuple(sorted(set(self.valid)))
        self.args = (self.what, self.name, self.valid, self.where)  # so that it can be pickled, whatever held the names

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        return f"unknown {self.what} '{self.name}'{place}; {self._hint()}"

    def _hint(self) -> str:
        """The nearest valid names, or all of them."""
        close = nearest(self.name, self.valid)
        if close:
            return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
        if not self.valid:
            return "there is none"
        first, more = [*self.valid][:12], len(self.valid) - 12
        return "valid: " + ", ".join(first) + (f" and {more} more" if more > 0 else "")


class CellError(Exception):
    """A cell's own failure, with a message for people; error_type names the kind in results.csv."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class DeviceLost(Exception):
    """The device reported an error after which nothing in the process can be trusted (a failed assert, an illegal
    access). It surfaces at some later call, so it is no cell's; whatever holds the process must end it.
    """


class EpochVoid(Exception):
    """What the cells of a group share was changed, and nobody knows by whom: nothing of the epoch counts."""


def _never(error: BaseException) -> bool:
    return False


class Contained:
    """A block of plugin code. What it raises goes to `fail` instead of further up; afterwards the object is true if
    it did.

    The catch is broad because a plugin may raise anything, and only its own cell must end by it: sys.exit()
    included. KeyboardInterrupt, DeviceLost and EpochVoid pass, and what `passes` says of.
    """

    def __init__(self, fail: Callable[[Exception], None], passes: Callable[[BaseException], bool] = _never) -> None:
        self._fail = fail
        self._passes = passes
        self._failed = False

    def __enter__(self) -> Contained:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception | SystemExit) or isinstance(error, DeviceLost | EpochVoid):
            return False
        if self._passes(error):
            return False
        self._failed = True
        if isinstance(error, SystemExit):
            error = CellError("SystemExit", f"it called sys.exit({error.code!r})")
        self._fail(error)
        return True

    def __bool__(self) -> bool:
        return self._failed


def links(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, and so on to the first. A plugin may hide one behind
    another.
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """The error's message on one line of at most 500 characters."""
    text = " ".join(str(error).split())
    return text[:500] if text else type(error).__name__
