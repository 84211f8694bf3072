"""Methods with several outputs: what each is worth and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import fabricate
import pandas as pd

from kdharness.results.record import MetricRow, Record
from kdharness.results.table import METRICS_COLUMNS
from kdharness.stats.exits import MethodExits, exits_of

MACS = {"exit1": 100.0, "exit2": 200.0, "ensemble": 400.0}
TOP1 = {"exit1": 85.0, "exit2": 91.0, "ensemble": 92.0}


def with_exits(record: Record) -> Record:
    rows = [
        MetricRow(name, "test", metric, value)
        for name in MACS
        for metric, value in (
            ("macs", MACS[name]),
            ("top1", TOP1[name] + record.cell.seed),
            ("latency_seconds", 0.002),
            ("parameters", 5000.0),
        )
    ]
    return replace(record, metrics=tuple(rows), values={**record.values, "student_macs": 200})


def exits(records: Sequence[Record]) -> tuple[MethodExits, ...]:
    rows = [(r.cell.key, m.predictor, m.split, m.metric, m.value) for r in records for m in r.metrics]
    return exits_of(fabricate.table_of(records), pd.DataFrame(rows, columns=list(METRICS_COLUMNS)))


def plain_students(top1: float | None = 88.0) -> list[Record]:
    records = fabricate.records_of({"vanilla": [88.0] * 3})
    return [replace(r, values={**r.values, "top1": top1, "student_macs": 300}) for r in records]


def with_outputs(**changes: object) -> list[Record]:
    return [with_exits(r) for r in fabricate.records_of({"byot": [91.0, 92.0, 93.0]}, teacher=None, **changes)]


def test_numbers_by_hand() -> None:
    (found,) = exits([*plain_students(), *fabricate.records_of({"kd": [90.0] * 3}), *with_outputs()])
    assert (found.method, found.names["teacher"], found.deviations) == ("byot", "conv32", "")
    assert [each.name for each in found.exits] == ["exit1", "exit2", "ensemble"]
    first = found.exits[0]
    assert (first.top1.n, first.top1.mean, first.top1.sd) == (3, 86.0, 1.0)
    assert [each.saving for each in found.exits] == [3.0, 1.5, 0.75]
    assert (first.latency_seconds, first.parameters) == (0.002, 5000.0)
    assert found.plain is not None
    assert (found.plain[0].mean, found.plain[1]) == (88.0, 300.0)


def test_without_a_plain_student_the_main_output_is_the_measure() -> None:
    for others in ([], plain_students(top1=None)):
        (found,) = exits([*others, *with_outputs()])
        assert found.plain is None
        assert [each.saving for each in found.exits] == [2.0, 1.0, 0.5]


def test_one_seed_is_enough() -> None:
    (found,) = exits([plain_students()[0], with_outputs()[0]])
    assert found.plain is not None
    assert (found.plain[0].n, found.plain[1]) == (1, 300.0)
    assert [each.top1.n for each in found.exits] == [1, 1, 1]


def test_a_variant_stands_where_the_plain_method_does_not() -> None:
    variants = [with_exits(r) for r in fabricate.records_of({"byot[alpha=0]": [91.0]}, teacher=None)]
    assert [found.method for found in exits(variants)] == ["byot[alpha=0]"]
    assert [found.method for found in exits([*variants, *with_outputs()])] == ["byot"]


def test_what_deviates_comes_last() -> None:
    short = with_outputs(deviations="recipe.epochs=2", protocol="p0")
    assert [found.deviations for found in exits([*short, *with_outputs()])] == ["", "recipe.epochs=2"]


def test_one_output_is_none() -> None:
    assert exits(fabricate.records_of({"kd": [90.0] * 3})) == ()
