"""A record's numbers once more, by the metrics that gave them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kdharness.measure.recount import recounted
from kdharness.registry.manager import Registry
from kdharness.results.checks.cell_check import CellChecks
from kdharness.results.checks.numbers import Evidence, stated_numbers
from kdharness.results.store import ResultsFolder


def test_every_number_of_test_logits_is_there_to_the_last_bit(finished: Path, registry: Registry) -> None:
    contents = ResultsFolder(finished).load()
    checks = CellChecks(contents, lambda record, evidence: {}, always=False)
    for record in contents.records.values():
        stated, found = stated_numbers(record), recounted(registry, record, checks.evidence(record))
        assert {at: stated[at] for at in found if at in stated} == {at: v for at, v in found.items() if at in stated}
        names = {at.name for at in found}
        assert {"top1", "top3", "top5", "nll", "ece", "x_top3"} <= names
        assert ("teacher_agreement" in names) is ("teacher_top1" in names) is bool(record.cell.reference_teachers)


def test_a_metric_that_is_not_installed_gives_nothing(finished: Path, registry: Registry) -> None:
    contents = ResultsFolder(finished).load()
    untaught = next(r for r in contents.records.values() if not r.cell.reference_teachers)
    record = replace(untaught, measured=("nowhere", "top1"))
    evidence = CellChecks(contents, lambda record, evidence: {}, always=False).evidence(record)
    assert {at.name for at in recounted(registry, record, evidence)} == {"top1"}
    assert recounted(registry, record, Evidence()) == {}
