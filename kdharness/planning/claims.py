"""A benchmark's claims with all that follows from what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdharness.api.specs import MethodSpec, MetricSpec
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.claim import EQUAL_POINTS, Claim
from kdharness.protocol.scenario import find_scenario
from kdharness.protocol.variant import completed, parse_variant, plain, variant_text

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry

# Columns and numbers of cells that are no metric of a plugin and of which less is better.
COSTS = (
    "train_seconds", "shared_seconds", "peak_memory_bytes", "student_parameters", "student_macs", "parameters", "macs",
    "latency_seconds",
)  # fmt: skip
ACCURACIES = ("top1_last10", "top1_test_oracle", "val_top1", "teacher_top1")


def resolve_claims(benchmark: Benchmark, registry: Registry) -> tuple[Claim, ...]:
    """With `smaller` and `equal_within` stated, and methods called as tables call them.

    UserError for names that are not known.
    """
    found = []
    for number, claim in enumerate(benchmark.claims, 1):
        where = f"{benchmark.place}, claim {number}"
        if claim.dataset is not None:
            registry.get("dataset", claim.dataset, where)
        if claim.scenario is not None:
            find_scenario(claim.scenario, benchmark.scenario, where)
        names = {side: _name(getattr(claim, side), benchmark, registry, where) for side in ("better", "than")}
        found.append(claim.model_copy(update={**names, **_judged_by(claim, registry)}))
    return tuple(found)


def _name(text: str, benchmark: Benchmark, registry: Registry, where: str) -> str:
    """What tables call "byot[alpha=0.0]": "byot[alpha=0]", or "byot" where the benchmark itself says so."""
    method = text.partition("[")[0].strip()
    spec: MethodSpec = registry.get("method", method, where).spec
    given, without = parse_variant(text, spec, where)
    table = {key: value for key, value in benchmark.parameters_of(method).items() if key != "without"}
    own = completed(spec, table, where)
    variant = variant_text(plain({**own, **given}), plain(own), without)
    return f"{method}[{variant}]" if variant else method


def _judged_by(claim: Claim, registry: Registry) -> dict[str, bool | float]:
    """Which way is better, and what counts as no difference."""
    spec = _metric(claim.metric, registry)
    higher = spec.higher_is_better if spec else claim.metric not in COSTS
    points = spec.unit == "%" if spec else claim.metric in ACCURACIES
    band = EQUAL_POINTS if points and claim.at_least == 0 else 0.0
    return {
        "smaller": not higher if claim.smaller is None else claim.smaller,
        "equal_within": band if claim.equal_within is None else claim.equal_within,
    }


def _metric(number: str, registry: Registry) -> MetricSpec | None:
    """The metric that a number is of: the one with its name, or with the longest that it begins with."""
    if number in (*COSTS, *ACCURACIES):
        return None
    owners = [metric.spec for metric in registry.metrics.values() if metric.spec.owns(number)]
    return max(owners, key=lambda spec: len(spec.name), default=None)
