"""Every built-in method passes the checks that its author would run."""

from __future__ import annotations

from collections.abc import Callable

from builtin_cases import builtin_cases

from kdharness.testing import parametrize_with_checks

EXPECTED_FAILURES = {
    "rona[mechanism=gradient]": {
        "check_rehearsal_on_a_fake_accelerator": "its update takes gradients per sample, and a backward pass on a fake "
        "accelerator asks for its driver; on the meta device it passes"
    },
}


@parametrize_with_checks(builtin_cases(), EXPECTED_FAILURES)
def test_built_in_methods(check: Callable[[], None]) -> None:
    check()
