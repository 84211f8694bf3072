"""How long it takes until a share of the gap is there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import fabricate

from kdharness.results.history import HistoryRow
from kdharness.stats.question import Question
from kdharness.stats.reach import Reach, main_curve, reaches

KD = Question(("kd", ""))
# Vanilla at 87 and teachers at 97: half of the gap is at 92, nine tenths are at 96.
SCORES = {"vanilla": [87.0, 87.0], "kd": [96.0, 96.0], "at": [93.0, 93.0]}


def curve(values: Mapping[int, float]) -> list[HistoryRow]:
    return [(epoch, "test", "logits", "top1", value) for epoch, value in values.items()]


def reached(curves: Mapping[str, Sequence[Mapping[int, float]]]) -> dict[str, tuple[Reach, ...]]:
    """curves: by method and seed. Every cell has 2 epochs, 2.5 s alone."""
    frame = fabricate.scores_table(SCORES)
    students = frame[frame["role"] == "student"]
    methods = dict(zip(students["cell"], zip(students["method"], students["seed"], strict=True), strict=True))

    def history(cell: str) -> list[HistoryRow]:
        method, seed = methods[cell]
        return curve(curves[method][seed]) if method in curves else []

    return {place[-2]: found for place, found in reaches(frame, KD, history).items()}


def test_the_mean_curve_over_seeds_decides() -> None:
    found = reached({"kd": [{1: 91.0, 2: 96.0}, {1: 92.0, 2: 96.0}]})
    # Means 91.5 and 96.
    assert found == {"kd": (Reach(2, False, 2.5), Reach(2, False, 2.5))}


def test_seconds_are_in_proportion_to_epochs() -> None:
    found = reached({"kd": [{1: 92.0, 2: 95.0}, {1: 92.0, 2: 95.0}]})
    half, nearly = found["kd"]
    assert half == Reach(1, False, 1.25)
    # From Python 3.13 on records that hold nan equal nothing.
    assert nearly.epoch is None
    assert not nearly.at_once
    assert math.isnan(nearly.seconds)


def test_a_first_look_that_is_late_is_a_bound() -> None:
    assert reached({"at": [{2: 93.0}, {2: 93.0}]})["at"][0].at_once
    assert math.isnan(reached({"at": [{2: 90.0}, {2: 90.0}]})["at"][0].seconds)


def test_epochs_that_some_seed_lacks_do_not_count() -> None:
    assert reached({"kd": [{1: 99.0, 2: 96.5}, {2: 96.5}]})["kd"][1] == Reach(2, True, 2.5)


def test_without_curves_or_a_gap_there_is_nothing() -> None:
    assert reached({}) == {}
    assert reached({"kd": [{1: 99.0}, {}]}) == {}
    near = fabricate.scores_table({"vanilla": [96.5], "kd": [97.0]})
    assert reaches(near, KD, lambda cell: curve({1: 99.0})) == {}


def test_the_main_output_is_the_first_that_is_named() -> None:
    rows: list[HistoryRow] = [
        (1, "train", "", "top1", 1.0),
        (1, "test", "mean", "top1", 50.0),
        (1, "test", "exit1", "top1", 40.0),
        (1, "test", "mean", "nll", 0.1),
        (2, "test", "exit1", "top1", 41.0),
        (2, "test", "mean", "top1", 51.0),
    ]
    assert main_curve(rows) == {1: 50.0, 2: 51.0}
