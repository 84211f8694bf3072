"""Rows of fabricated laps, as table and as CSV."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from kdharness.speed.display import shown
from kdharness.speed.findings import STUDENT_ALONE, TEACHER_ALONE, Findings
from kdharness.speed.request import BenchRequest
from kdharness.speed.sheet import as_csv
from kdharness.speed.stopwatch import Lap


def laps(*seconds):
    return [Lap(s, 10 * s, {"teacher": s / 4, "rest": 3 * s / 4}) for s in seconds]


@pytest.fixture
def findings():
    request = BenchRequest("t:s", ("kd", "fitnet"), images=100, batch_size=10, epochs=10, train_images=1000)
    found = Findings(request, taught=frozenset({"kd", "fitnet"}), served=("kd",), pictures=162, where="here")
    found.laps.update(
        {
            ("plain", ("kd",)): laps(4.0, 5.0, 9.0),
            ("plain", ("fitnet",)): laps(4.0, 5.0, 7.0),
            ("solo", ("kd",)): laps(3.0, 3.0, 3.0),
            ("solo", ("fitnet",)): laps(3.0, 3.0, 3.0),
            ("group", ("kd", "fitnet")): laps(4.0, 5.0, 4.0),
            ("table", ("kd",)): laps(1.0, 1.0, 1.0),
            (TEACHER_ALONE, ()): laps(2.0, 2.0),
            (STUDENT_ALONE, ()): laps(1.0, 1.0),
        }
    )
    found.memory_bytes["group", ("kd", "fitnet")] = 3 * 2**20
    found.operations["group", ("kd", "fitnet")] = [10, 20]
    return found


def test_cells_one_by_one_are_summed_round_by_round(findings):
    plain = findings.rows()[0]
    assert (plain.kind, plain.methods) == ("plain", ("kd", "fitnet"))
    assert (plain.cpu.low, plain.cpu.median, plain.cpu.high) == (8.0, 10.0, 16.0)
    assert plain.to_plain is None
    assert plain.rounds == 3
    assert plain.parts["teacher"] == pytest.approx(0.25)


def test_ratios_are_of_one_round(findings):
    group = next(row for row in findings.rows() if row.kind == "group")
    assert (group.to_plain.low, group.to_plain.median, group.to_plain.high) == (2.0, 2.0, 4.0)
    assert group.to_solo.median == 1.5
    assert group.bound == pytest.approx(2 * 3 / 4)
    assert group.share_of_bound == pytest.approx(2.0 / 1.5)
    assert (group.memory_bytes, group.operations) == (3 * 2**20, 15)


def test_a_table_is_told_beside_the_methods_that_it_serves(findings):
    table = findings.rows()[-1]
    assert (table.kind, table.methods) == ("table", ("kd",))
    assert table.to_plain.median == 5.0
    assert table.bound == 3.0
    assert findings.fill_seconds == 324.0
    assert findings.paid_after_epochs == 162.0  # kd by itself takes 3 s, with the table 1 s


def test_rates(findings):
    group = next(row for row in findings.rows() if row.kind == "group")
    assert findings.images_per_second(group).median == 2 * 100 / 4
    assert findings.images_per_second(group).low == 2 * 100 / 5
    # 4 s for 2 cells and 100 images: 200 s for an epoch of each 5,000... 10 epochs of 1,000 images are 100 times 4 s.
    assert findings.cells_per_hour(group).median == pytest.approx(2 * 3600 / 400)


def test_the_sheet_has_a_row_for_each_and_every_unit(findings):
    rows = list(csv.DictReader(io.StringIO(as_csv(findings))))
    assert [row["row"] for row in rows] == ["plain", "solo", "group", "table"]
    assert rows[2]["methods"] == "kd|fitnet"
    assert rows[2]["peak_memory_bytes"] == str(3 * 2**20)
    assert float(rows[2]["ratio_to_plain"]) == 2.0
    assert rows[0]["ratio_to_plain"] == rows[0]["operations_per_step"] == rows[0]["bound"] == ""
    assert rows[0]["epoch_seconds"] == "5"
    assert rows[3]["table_paid_after_epochs"] == "162"


def test_people_see_it_in_80_columns(findings):
    console = Console(width=80, record=True, color_system=None)
    for part in shown(findings):
        console.print(part)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    assert "group of 2" in text
    assert "3 rounds in turn of 3, medians" in text
    assert "133% of 1.50" in text
    assert "it has paid after 162" in " ".join(text.split())


def test_what_an_interruption_leaves_has_rows(findings):
    for unit in list(findings.laps):
        if unit[0] not in ("solo",):
            del findings.laps[unit]
    del findings.laps["solo", ("fitnet",)][1:]
    (row,) = findings.rows()
    assert (row.kind, row.rounds) == ("solo", 1)
    assert as_csv(findings).count("\n") == 2


def test_a_device_that_is_no_processor_is_told_by_the_clock():
    found = Findings(BenchRequest("t:s", ("kd",), device="cuda:0"))
    found.laps["solo", ("kd",)] = laps(2.0)
    (row,) = found.rows()
    assert found.counted(row).median == 20.0
