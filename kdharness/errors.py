"""Errors that are the user's to mend: one line that names the thing, its place and the nearest valid names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the input or the environment. The command line prints its message, without traceback, and exits
    with 2.
    """


def nearest(name: str, valid: Iterable[str], most: int = 3) -> list[str]:
    """The valid names closest to `name`, best first."""
    return difflib.get_close_matches(name, sorted(set(valid)), n=most, cutoff=0.5)


def unknown(what: str, name: str, valid: Iterable[str], where: str = "") -> UserError:
    """The error for a name that is not among the `valid` ones.

    what: the kind of thing ("method"); where: the place the name came from ("--methods").
    """
    valid = sorted(set(valid))
    close = nearest(name, valid)
    if close:
        hint = "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    elif valid:
        shown = ", ".join(valid[:12]) + (f" and {len(valid) - 12} more" if len(valid) > 12 else "")
        hint = f"valid: {shown}"
    else:
        hint = "there is none"
    place = f" ({where})" if where else ""
    return UserError(f"unknown {what} '{name}'{place}; {hint}")
