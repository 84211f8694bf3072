"""Which methods run on which standard pairs, and why others do not: from the meta device, without data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdharness.planning import make_plan
from kdharness.planning.cell import STUDENT
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load

if TYPE_CHECKING:
    from kdharness.planning.plan import Plan
    from kdharness.registry.manager import Registry

# Whose pairs are the standard ones.
STANDARD_PAIRS = "cifar100"


@dataclass(frozen=True)
class MethodOnPairs:
    """A method. skips: by pair, in their order, why it does not run there; "" where it does."""

    method: str
    skips: Mapping[str, str]

    @property
    def runs(self) -> int:
        """On how many of them."""
        return sum(not reason for reason in self.skips.values())


def standard_matrix(registry: Registry, methods: tuple[str, ...] = ("all",)) -> tuple[MethodOnPairs, ...]:
    """Methods without a teacher stand on every pair of their student. Nothing is downloaded or read."""
    benchmark = load(STANDARD_PAIRS)
    # With a download allowed, a dataset says what it is without being there.
    selection = Selection(methods=methods, seeds=(0,), scenarios=("clean",), download=True)
    return matrix_of(make_plan(benchmark, selection, registry), [str(pair) for pair in benchmark.pairs])


def matrix_of(plan: Plan, pairs: list[str]) -> tuple[MethodOnPairs, ...]:
    """By name of the method. One that is left out of the plan, as what needs another scenario, is not in it."""
    skips: dict[str, dict[str, str]] = {}
    for planned in plan.cells:
        cell = planned.cell
        if cell.role == STUDENT and not cell.variant:
            alone = not cell.pair.teachers
            own = [p for p in pairs if p == str(cell.pair) or (alone and p.rpartition(":")[2] == cell.student)]
            skips.setdefault(cell.method, {}).update(dict.fromkeys(own, planned.skip))
    return tuple(
        MethodOnPairs(name, {pair: found[pair] for pair in pairs if pair in found})
        for name, found in sorted(skips.items())
    )
