"""The way from a benchmark and a command to a plan: ask, resolve, expand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdharness.planning.plan import Plan
    from kdharness.planning.selection import Selection
    from kdharness.protocol.benchmark import Benchmark
    from kdharness.registry.manager import Registry


def make_plan(benchmark: Benchmark, selection: Selection, registry: Registry, command: Sequence[str] = ()) -> Plan:
    """All cells that the selection asks for, required ones first. command: the arguments, for the plan to remember.

    UserError for unknown names and wrong values, and for an empty matrix.
    """
    from kdharness.planning.asked import ask
    from kdharness.planning.compatibility import on_meta_device  # here, for it loads torch
    from kdharness.planning.expand import expand
    from kdharness.planning.resolve import resolve
    from kdharness.text import timestamp

    asked = ask(benchmark, selection)
    resolved = resolve(asked, registry)
    compatibility = on_meta_device(resolved)
    return expand(resolved, compatibility, command, timestamp("microseconds"))
