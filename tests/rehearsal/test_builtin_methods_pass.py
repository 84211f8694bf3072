"""Every built-in method passes the checks that its author would run."""

from __future__ import annotations

from collections.abc import Callable

from builtin_cases import builtin_cases

from kdharness.testing import parametrize_with_checks


@parametrize_with_checks(builtin_cases())
def test_built_in_methods(check: Callable[[], None]) -> None:
    check()
