"""The way from a benchmark and a command to a plan: ask, resolve, expand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdharness.planning.plan import Plan
    from kdharness.planning.selection import Selection
    from kdharness.protocol.benchmark import Benchmark
    from kdharness.registry.manager import Registry


def make_plan(
    benchmark: Benchmark,
    selection: Selection,
    registry: Registry,
    command: Sequence[str] = (),
    read_weights: bool = False,
) -> Plan:
    """All cells that the selection asks for, required ones first. command: the arguments, for the plan to remember.

    read_weights: whether files of weights are read. A worker refuses those that do not fit, if nobody did before.
    UserError for unknown names and wrong values, for an empty matrix, and for files of weights that do not fit.
    """
    from kdharness.planning.asked import ask
    from kdharness.planning.compatibility import on_meta_device  # here, for it loads torch
    from kdharness.planning.expand import expand
    from kdharness.planning.given_weights import check_given_weights
    from kdharness.planning.resolve import resolve
    from kdharness.text import timestamp

    asked = ask(benchmark, selection)
    resolved = resolve(asked, registry)
    compatibility = on_meta_device(resolved)
    plan = expand(resolved, compatibility, command, timestamp("microseconds"))
    if read_weights:
        lines = check_given_weights(plan, resolved)
        plan = replace(plan, warnings=tuple(dict.fromkeys((*plan.warnings, *lines))))
    return plan
