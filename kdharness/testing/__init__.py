"""For authors of plugins: a lab that trains cells in this process, and checks of what a method promises.

::

    from kdharness.api import MethodSpec
    from kdharness.testing import parametrize_with_checks

    @parametrize_with_checks([MethodSpec.of(MyMethod)])
    def test_my_method(check):
        check()

The checks train in a tiny world on the CPU, alone and in a group, stop and resume, and rehearse a step on devices that
are not there. `method_checks` yields the same checks without pytest, and `optimizer_checks` those of an optimiser whose
steps can be recorded.
"""

from kdharness.testing.case import CheckFailed, CheckSkipped, MethodCase
from kdharness.testing.lab import Lab
from kdharness.testing.methods import method_checks, parametrize_with_checks
from kdharness.testing.optimizer_checks import OptimizerCase, optimizer_checks

__all__ = [
    "CheckFailed",
    "CheckSkipped",
    "Lab",
    "MethodCase",
    "OptimizerCase",
    "method_checks",
    "optimizer_checks",
    "parametrize_with_checks",
]
