"""Errors that are the user's to mend, errors that are one cell's own, and what keeps the latter from the others."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from kdharness.disk import no_room
from kdharness.failures import is_a_stop, one_line
from kdharness.text import plain

# Of a name that nobody knows a message has so many letters.
MOST_SHOWN = 100


class UserError(Exception):
    """A mistake in the input or the environment. The command line prints its message alone, and exits with 2."""


def nearest(name: str, valid: Iterable[str], most: int = 3, least: float = 0.5) -> list[str]:
    """The valid names closest to `name`, best first. least: how alike they must be, 1 for equal ones."""
    return difflib.get_close_matches(name, sorted(set(valid)), n=most, cutoff=least)


@dataclass(eq=False)
class UnknownName(UserError):
    """A name that is not among the valid ones.

    what: the kind of thing ("method"). where: the place that the name came from ("--methods").
    elsewhere: what other kind of thing is called so ("metric"); "" for none.
    """

    what: str
    name: str
    valid: Collection[str]
    where: str = ""
    elsewhere: str = ""

    def __post_init__(self) -> None:
        self.valid = tuple(sorted(set(self.valid)))
        # So that it can be pickled, whatever held the names.
        self.args = (self.what, self.name, self.valid, self.where, self.elsewhere)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        name = self.name if len(self.name) <= MOST_SHOWN else f"{self.name[:MOST_SHOWN]}..."
        return plain(f"unknown {self.what} '{name}'{place}; {self._hint()}")

    def _hint(self) -> str:
        """What it is instead, the nearest valid names, or all of them."""
        if self.elsewhere:
            return f"there is {_with_article(self.elsewhere)} of this name"
        close = nearest(self.name[:MOST_SHOWN], self.valid)
        if close:
            return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
        if not self.valid:
            return "there is none"
        first, more = [*self.valid][:12], len(self.valid) - 12
        return "valid: " + ", ".join(first) + (f" and {more} more" if more > 0 else "")


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


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
    included. What ends this process passes (Ctrl-C, a request of the parent), a full disk, which stops the run,
    DeviceLost, EpochVoid, and what `passes` says of.
    """

    def __init__(self, fail: Callable[[Exception], None], passes: Callable[[BaseException], bool] = _never) -> None:
        self._fail = fail
        self._passes = passes
        self._failed = False

    def __enter__(self) -> Contained:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or is_a_stop(error) or isinstance(error, DeviceLost | EpochVoid):
            return False
        if no_room(error) or self._passes(error):
            return False
        self._failed = True
        self._fail(error if isinstance(error, Exception) else as_cell_error(error))
        return True

    def __bool__(self) -> bool:
        return self._failed


def as_cell_error(error: BaseException) -> CellError:
    """What is no Exception (SystemExit, a plugin's own kind) as one, with its traceback."""
    name = type(error).__name__
    said = one_line(error)
    what = f"it raised {name}" if said == name else f"it raised {name}: {said}"
    found = CellError(name, f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else what)
    found.__cause__ = error
    return found
