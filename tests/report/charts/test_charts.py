"""Figures of rankings and mean gains, from folders made up and their files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest

from kdharness.report.charts.words import reading_of
from kdharness.report.document import sections
from kdharness.report.figures import CurveFigure, Figure, GainFigure, HeatFigure, Point, PointFigure, ReliabilityFigure
from kdharness.report.view import report_of
from kdharness.results.history import HistoryRow, write_history
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder

SCORES: Mapping[str, Sequence[float | None]] = {
    "vanilla": [80.0, 81.0, 82.0], "kd": [83.0, 83.0, 84.0], "at": [84.0, 85.0],
}  # fmt: skip
NUMBERS = {
    "vanilla": {"alone_seconds": 2.0, "teacher_agreement": None},
    "kd": {"alone_seconds": 3.0, "teacher_agreement": 90.0, "nll": 0.5, "ece": 0.1},
    "at": {"alone_seconds": 9.0, "teacher_agreement": 91.0, "nll": 0.4, "ece": 0.2},
}


def records(**changes: Any) -> list[Record]:
    return [
        fabricate.record(fabricate.cell(method, seed, **changes), top1, **NUMBERS[method])
        for method, scores in SCORES.items()
        for seed, top1 in enumerate(scores)
    ]


def world(path: Path, made: Sequence[Record]) -> ResultsFolder:
    return fabricate.write(path / "tiny", [record.cell for record in made], made)


def figures_of(folder: ResultsFolder) -> dict[str, Figure]:
    found = [figure for section in sections(report_of(folder.load(), figures=True)) for figure in section.figures]
    assert len({(figure.title, figure.deviations) for figure in found}) == len(found)
    return {figure.title.rpartition(" · ")[2]: figure for figure in found}


def test_without_files_there_are_the_figures_of_the_table(tmp_path: Path) -> None:
    assert list(figures_of(world(tmp_path, records()))) == [
        "gain over vanilla", "gain against cost", "calibration", "agreement with the teacher",
    ]  # fmt: skip


def test_figures_that_need_files_are_made_where_they_are_asked_for(tmp_path: Path) -> None:
    plain = [figure for section in sections(report_of(world(tmp_path, records()).load())) for figure in section.figures]
    assert [type(figure) for figure in plain] == [GainFigure]


def test_cost_is_that_of_training_and_the_front_is_marked(tmp_path: Path) -> None:
    figure = figures_of(world(tmp_path, records()))["gain against cost"]
    assert isinstance(figure, PointFigure)
    assert figure.y_label == "points over vanilla"
    assert [(p.name, p.x, round(p.y, 4), p.marked) for p in figure.points] == [
        ("vanilla", 2.0, 0.0, True), ("kd", 3.0, 2.3333, True), ("at", 9.0, 4.0, True),
    ]  # fmt: skip
    slower = [r for r in records() if r.cell.method != "at"]
    slower += [fabricate.record(fabricate.cell("slow", seed), 70.0, alone_seconds=50.0) for seed in range(3)]
    dominated = figures_of(world(tmp_path / "b", slower))["gain against cost"]
    assert isinstance(dominated, PointFigure)
    assert [(p.name, p.marked) for p in dominated.points] == [("vanilla", True), ("kd", True), ("slow", False)]


def test_intervals_are_spoken_of_where_some_are_drawn() -> None:
    point, known = Point("kd", 1.0, 2.0), Point("at", 1.0, 2.0, 1.5, 2.5)
    assert reading_of(PointFigure("", "", "x", "y", (point, known))) == "Upright lines are 95 % intervals."
    assert reading_of(PointFigure("", "", "x", "y", (point,))) == ""
    assert reading_of(PointFigure("", "", "x", "y", (point,), "best")) == "Marked and joined: best."


def test_points_are_means_of_what_was_measured(tmp_path: Path) -> None:
    found = figures_of(world(tmp_path, records()))
    calibration, agreement = found["calibration"], found["agreement with the teacher"]
    assert isinstance(calibration, PointFigure)
    assert isinstance(agreement, PointFigure)
    assert {(p.name, round(p.x, 6), round(p.y, 6)) for p in calibration.points} == {
        ("vanilla", 0.3, 0.02), ("kd", 0.5, 0.1), ("at", 0.4, 0.2),
    }  # fmt: skip
    assert [(p.name, p.x, round(p.y, 4)) for p in agreement.points] == [("at", 91.0, 84.5), ("kd", 90.0, 83.3333)]
    at, kd = agreement.points
    assert math.isnan(at.low)  # two seeds
    assert kd.low == pytest.approx(83.3333 - 4.30265 * 0.57735 / math.sqrt(3), abs=1e-3)


def curves(folder: ResultsFolder, record: Record, rows: Sequence[HistoryRow]) -> None:
    write_history(folder.cell(record.cell.key).history, rows)


def test_curves_are_means_over_the_epochs_that_all_seeds_have(tmp_path: Path) -> None:
    made = records()
    folder = world(tmp_path, made)
    for each in made:
        seed, last = each.cell.seed, 4 if each.cell.seed == 0 else 3
        rows: list[HistoryRow] = [(e, "test", "student", "top1", 10.0 * e + seed) for e in range(1, last + 1)]
        rows += [(e, "test", "exit1", "top1", 0.0) for e in range(1, last + 1)]
        curves(folder, each, [*rows, (1, "train", "", "ce", 2.0)])
    figure = figures_of(folder)["learning curves on test"]
    assert isinstance(figure, CurveFigure)
    assert figure.reference == "kd"
    assert figure.band == "95 % interval of the mean over seeds, none below 3"
    kd = next(curve for curve in figure.curves if curve.name == "kd")
    assert (kd.epochs, kd.means, kd.seeds) == ((1, 2, 3), (11.0, 21.0, 31.0), 3)
    assert kd.highs[0] - 11.0 == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)
    at = next(curve for curve in figure.curves if curve.name == "at")
    assert (at.means, at.seeds) == ((10.5, 20.5, 30.5), 2)
    assert all(map(math.isnan, at.lows))
    assert "training loss" not in figures_of(folder)  # one epoch is no curve


def test_reliability_counts_images_of_all_seeds(tmp_path: Path) -> None:
    made = [r for r in records() if r.cell.method == "kd"]
    folder = world(tmp_path, made)
    for each in made[:2]:
        # Four images of confidence 0.8; of the first seed all are right, of the second none.
        logits = np.log(np.array([[0.8, 0.2]] * 4))
        targets = np.full(4, each.cell.seed)
        np.savez(folder.cell(each.cell.key).predictions, logits=logits, targets=targets)
    folder.cell(made[2].cell.key).predictions.write_bytes(b"PK broken")
    figure = figures_of(folder)["reliability"]
    assert isinstance(figure, ReliabilityFigure)
    ((kd),) = figure.methods
    assert (kd.name, kd.seeds, len(kd.bins)) == ("kd", 2, 1)
    assert kd.bins[0].confidence == pytest.approx(0.8)
    assert (kd.bins[0].accuracy, kd.bins[0].share) == (0.5, 1.0)


def test_nothing_is_taken_from_what_lies_apart(tmp_path: Path) -> None:
    made = records()
    folder = world(tmp_path, made)
    for each in made:
        folder.shelter(each.cell.key)
        curves(folder, each, [(e, "test", "student", "top1", 50.0) for e in range(1, 5)])
        np.savez(folder.cell(each.cell.key).predictions, logits=np.eye(3), targets=np.arange(3))
        assert "private" in str(folder.cell(each.cell.key).history)
    assert set(figures_of(folder)).isdisjoint({"learning curves on test", "reliability"})


def test_pairs_are_columns_and_what_is_told_apart_is_settled(tmp_path: Path) -> None:
    scores: dict[str, list[float | None]] = {"vanilla": [80, 81, 82, 83], "kd": [90, 91, 92, 93]}
    made = [r for student in ("conv16", "conv8") for r in fabricate.records_of(scores, student=student)]
    made += [fabricate.record(fabricate.cell("at", 0, student="conv8"), 85.0)]
    figure = figures_of(world(tmp_path, made))["gain over vanilla by pair"]
    assert isinstance(figure, HeatFigure)
    assert set(figure.pairs) == {"conv32:conv16", "conv32:conv8"}
    by_method = dict(zip(figure.methods, figure.cells, strict=True))
    assert [cell.points for cell in by_method["kd"]] == [10.0, 10.0]
    narrow = figure.pairs.index("conv32:conv8")
    assert by_method["at"][narrow].points == 5.0
    assert math.isnan(by_method["at"][1 - narrow].points)
    assert not by_method["at"][narrow].settled


def test_only_failures_and_single_methods_draw_nothing_that_compares(tmp_path: Path) -> None:
    failed = fabricate.record(fabricate.cell("kd"), None, Status.FAILED, "no")
    assert figures_of(world(tmp_path, [failed])) == {}
    alone = [fabricate.record(fabricate.cell("at", seed), 85.0) for seed in range(3)]
    assert figures_of(world(tmp_path / "b", alone)) == {}
