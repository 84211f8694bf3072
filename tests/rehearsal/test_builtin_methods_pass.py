"""Every built-in method passes the checks that its author would run."""

from __future__ import annotations

from collections.abc import Callable

from builtin_cases import builtin_cases

from kdharness.registry.manager import Registry
from kdharness.testing import MethodCase, parametrize_with_checks

PER_SAMPLE = {
    "check_rehearsal_on_a_fake_accelerator": "its update takes gradients per sample, and a backward pass on a fake "
    "accelerator asks for its driver; on the meta device it passes"
}
EXPECTED_FAILURES = {"rona[mechanism=gradient,noise=0]": PER_SAMPLE, "dp_sgd[noise=0]": PER_SAMPLE}


# Methods of every kind of tap, on networks of tokens.
TOKENS = "deit_micro_p2:vit_micro_p2"
WITH_TOKENS = ("kd", "at", "fitnet", "rkd", "byot")


@parametrize_with_checks(builtin_cases(), EXPECTED_FAILURES)
def test_built_in_methods(check: Callable[[], None]) -> None:
    check()


@parametrize_with_checks([MethodCase(Registry.load().get("method", name).spec, {}, TOKENS) for name in WITH_TOKENS])
def test_methods_on_tokens(check: Callable[[], None]) -> None:
    check()
