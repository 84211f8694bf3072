"""Two tracks in one table: nothing is compared across them, and a cell that stands in both counts once in each."""

from __future__ import annotations

from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.planning.plan import PlannedCell
from kdharness.protocol.claim import Claim
from kdharness.report.document import sections
from kdharness.report.leaderboard import Merged
from kdharness.report.view import ranking_of
from kdharness.results.record import Record, Status
from kdharness.results.rows import rows_of
from kdharness.results.table import frame_of
from kdharness.stats.board import leaderboard
from kdharness.stats.claims import judge
from kdharness.stats.effects import effects_of
from kdharness.stats.merging import merge_tables
from kdharness.stats.outcomes import problems_of
from kdharness.stats.overall import overalls
from kdharness.stats.rankings import rankings

REFERENCES = ("vanilla", "kd")
SHARED = {"default": "", "published": ""}
SEEDS = range(3)


def records(method: str, scores: list[float | None], tracks: dict[str, str], **changes: Any) -> list[Record]:
    found = []
    for seed, score in enumerate(scores):
        variant, parameters = next(iter(tracks.values())), {"t": "+".join(tracks)}
        cell = fabricate.cell(method, seed, variant=variant, parameters=parameters, **changes)
        standing = cell.standing_in(tracks)
        found.append(fabricate.record(standing, score, Status.FAILED if score is None else Status.OK))
    return found


def made() -> list[Record]:
    return [
        *records("vanilla", [80.0, 81.0, 82.5], SHARED),
        *records("kd", [85.0, 86.0, 87.0], SHARED),
        *records("dkd", [86.0, 87.5, 88.0], {"default": ""}),
        *records("dkd", [90.0, 91.5, 92.0], {"published": ""}),
        *records("at", [81.0, 81.5, 83.0], {"default": "weight=2", "published": ""}),
    ]


def table(found: list[Record]) -> pd.DataFrame:
    return fabricate.table_of(found)


def test_a_row_for_each_track_that_a_cell_stands_in() -> None:
    frame = table(made())
    assert len(frame) == 3 * (2 + 2 + 1 + 1 + 2)
    assert frame.groupby("cell")["track"].nunique().value_counts().to_dict() == {2: 9, 1: 6}
    at = frame[frame["method"] == "at"].drop_duplicates("track").set_index("track")["variant"]
    assert at.to_dict() == {"default": "weight=2", "published": ""}


def test_teachers_and_steps_stand_in_none() -> None:
    cell = fabricate.teacher_cell()
    rows = list(rows_of({cell.key: PlannedCell(cell)}, {}))
    assert [(row["role"], row["track"]) for row in rows] == [("teacher", "")]


def test_ranks_gains_and_comparisons_are_each_tracks_own() -> None:
    board = leaderboard(table(made()), REFERENCES)
    ranks = {
        (row["track"], row["method"], row["variant"]): (row["rank"], row["gain_over_kd_comparisons"])
        for row in board.astype(object).where(board.notna(), None).to_dict("records")
    }
    assert ranks == {
        ("default", "dkd", ""): (1, 6), ("default", "kd", ""): (2, None), ("default", "at", "weight=2"): (3, 6),
        ("default", "vanilla", ""): (4, 6),
        ("published", "dkd", ""): (1, 6), ("published", "kd", ""): (2, None), ("published", "at", ""): (3, 6),
        ("published", "vanilla", ""): (4, 6),
    }  # fmt: skip
    gains = board[board["method"] == "dkd"].set_index("track")["gain_over_kd"]
    assert gains.to_dict() == {"default": pytest.approx(7 / 6), "published": pytest.approx(31 / 6)}
    assert board["n"].to_list() == [3] * 8


def test_the_default_track_is_ranked_first() -> None:
    found = rankings(table([*made(), *records("rkd", [80.0, 80.0, 81.0], {"published": ""})]), REFERENCES)
    assert [ranking.names["track"] for ranking in found] == ["default", "published"]
    assert [len(ranking.board) for ranking in found] == [4, 5]


def test_what_is_not_there_in_a_track_is_compared_with_nothing() -> None:
    lone = [*records("kd", [85.0, 86.0], {"default": ""}), *records("dkd", [90.0, 91.0], {"published": ""})]
    assert leaderboard(table(lone), ("kd",))["gain_over_kd"].isna().all()


def test_mean_gains_are_of_one_track() -> None:
    several = [*made(), *records("kd", [80.0, 80.5, 81.0], SHARED, student="conv8")]
    several += records("dkd", [81.0, 81.5, 82.0], {"published": ""}, student="conv8")
    found = {overall.names["track"]: overall for overall in overalls(table(several), ("kd",))}
    rows = {track: overall.rows.set_index("method")["kd_pairs"].to_dict() for track, overall in found.items()}
    assert rows["published"]["dkd"] == 2
    assert rows["default"]["dkd"] == 1


def test_claims_are_answered_in_each_track_and_corrected_there() -> None:
    claims = [
        Claim(text="dkd is better", better="dkd", than="kd", smaller=False, equal_within=0.2),
        Claim(text="kd is better", better="kd", than="vanilla", smaller=False, equal_within=0.2),
    ]
    found = judge(claims, table(made()), pd.DataFrame(columns=["cell", "predictor", "split", "metric", "value"]))
    families = found[["track", "tests", "n"]].drop_duplicates()
    assert families.to_numpy().tolist() == [["default", 2, 3], ["published", 2, 3]]
    dkd = found[found["better"] == "dkd"].set_index("track")["difference"]
    assert dkd.to_dict() == {"default": pytest.approx(7 / 6), "published": pytest.approx(31 / 6)}


def test_a_cell_that_failed_is_one_problem() -> None:
    (problem,) = problems_of(table(records("kd", [None], SHARED)))
    assert (problem.count, problem.what) == (1, (("kd", 1),))


def test_merging_keeps_a_cell_in_the_tracks_of_all_folders() -> None:
    here, there = records("kd", [85.0], {"default": ""}), records("kd", [85.0], {"default": ""})
    there = [fabricate.record(r.cell.standing_in({"published": ""}), 85.0) for r in there]
    rows = [row for r in (*here, *there) for row in rows_of({r.cell.key: PlannedCell(r.cell)}, {r.cell.key: r})]
    merged, warnings = merge_tables(frame_of([*rows, rows[0]]))
    assert sorted(merged["track"]) == ["default", "published"]
    assert merged["cell"].nunique() == 1
    assert warnings == ("cells in several folders: 1; the latest result of each counts",)


def test_an_ablation_is_of_its_plans_track() -> None:
    """A reference that another plan has in the other track brings no second table."""
    found = made()
    own = [r.cell for r in found if r.cell.method in ("dkd", "kd") and "default" in r.cell.standings]
    parts = {cell.key: (cell.method,) for cell in own}
    plan = fabricate.plan([cell.standing_in({"default": cell.variant}) for cell in own], ablated="kd", parts=parts)
    effects = effects_of([plan], table(found))
    assert set(effects["track"]) == {"default"}
    assert effects["part"].to_list() == ["kd", "dkd"]


def test_titles_say_the_track() -> None:
    frame = table(made())
    report = ranking_of(Merged(frame, REFERENCES, ()))
    titles = [section.title for section in sections(report)]
    assert titles == [
        "tiny · digits · conv32:conv16 · teacher 97.00 %",
        "tiny · digits · published parameters · conv32:conv16 · teacher 97.00 %",
    ]
