"""Rankings as tables: the references beside every regime, and the lines below."""

from __future__ import annotations

import re

import fabricate
import pandas as pd

from kdharness.report.figures import GainFigure
from kdharness.report.sections.ranking import ranking_grid, ranking_section
from kdharness.report.sections.section import Section
from kdharness.results.record import Record
from kdharness.stats.rankings import rankings
from kdharness.stats.standings import REFERENCES


def sections_of(records: list[Record]) -> list[Section]:
    return [ranking_section(ranking) for ranking in rankings(fabricate.table_of(records), REFERENCES)]


def first_columns(records: list[Record]) -> list[tuple[str, ...]]:
    (ranking,) = rankings(fabricate.table_of(records), REFERENCES)
    columns = {column.header: column.values for column in ranking_grid(ranking).columns}
    return list(zip(columns["#"], columns["method"], strict=True))


def test_references_stand_beside_every_regime_without_a_rank() -> None:
    usual = fabricate.records_of({"vanilla": [88.0] * 3, "kd": [90.0, 90.1, 90.2], "kd[weight=1]": [89.0] * 3})
    alone = fabricate.records_of({"byot": [95.0, 95.1, 95.2], "ddgsd": [80.0] * 3}, regime="no_teacher")
    assert first_columns([*usual, *alone]) == [
        ("1", "kd"), ("2", "kd[weight=1]"), ("3", "vanilla"),
        ("", "kd"), ("", "vanilla"), ("1", "byot"), ("2", "ddgsd"),
    ]  # fmt: skip
    (section,) = sections_of([*usual, *alone])
    assert section.grid.groups == ((3, "no teacher"),)


def test_a_regime_that_has_its_references_gets_no_others() -> None:
    noisy = fabricate.records_of({"vanilla": [70.0] * 3, "kd": [75.0] * 3, "meal": [80.0] * 3}, regime="noisy_labels")
    assert first_columns(noisy) == [("1", "meal"), ("2", "kd"), ("3", "vanilla")]


def test_teachers_and_same_students_are_remarks() -> None:
    teachers = [fabricate.record(fabricate.teacher_cell(f"conv{n}"), top1) for n, top1 in ((64, 97.5), (32, 96.25))]
    scores = {"kd": [90.0, 91.0, 92.0], "kd[weight=1]": [90.0, 91.0, 92.0]}
    (section,) = sections_of([*teachers, *fabricate.records_of(scores, teacher="conv32+conv64")])
    assert section.remarks[:2] == (
        "each teacher: conv32 96.25, conv64 97.50; the heading's is their mean probability's",
        "the same students, to the last digit of every seed: kd, kd[weight=1]",
    )


def test_titles_tell_teacher_files_and_protocols_apart() -> None:
    source = fabricate.TeacherSource("conv32", sha256="e" * 64)
    outside = fabricate.record(fabricate.cell("kd", teacher=source), 85.0, teacher_top1=96.0)
    other = fabricate.records_of({"kd": [95.0]}, protocol="p2", scenario="few100")
    again = fabricate.records_of({"kd": [95.0]}, protocol="p3", scenario="few100")
    assert [section.title for section in sections_of([outside, *other, *again])] == [
        "tiny · digits · conv32:conv16 · teacher file eeeeeeee · teacher 96.00 %",
        "tiny · digits · few100 · conv32:conv16 · protocol p2 · teacher 97.00 %",
        "tiny · digits · few100 · conv32:conv16 · protocol p3 · teacher 97.00 %",
    ]


def test_the_figure_has_the_gains_over_the_first_reference() -> None:
    (section,) = sections_of(fabricate.records_of({"vanilla": [80.0, 81.0, 82.0], "kd": [83.0, 83.0, 84.0]}))
    (figure,) = section.figures
    assert isinstance(figure, GainFigure)
    assert figure.title == "tiny · digits · conv32:conv16 · gain over vanilla"
    assert figure.label == "points over vanilla, 95 % interval"
    ((name, points, low, high),) = ((g.name, round(g.points, 6), g.low, g.high) for g in figure.gains)
    assert (name, points) == ("kd", 2.333333)
    assert low < points < high
    (section,) = sections_of(fabricate.records_of({"vanilla": [80.0, 81.0], "kd": [83.0, 83.0]}))
    assert [figure.label for figure in section.figures if isinstance(figure, GainFigure)] == ["points over vanilla"]


def test_without_a_reference_there_is_no_figure() -> None:
    (section,) = sections_of(fabricate.records_of({"at": [80.0]}))
    assert section.figures == ()


def column(records: list[Record], header: str) -> dict[str, str]:
    """One column's texts by method."""
    (section,) = sections_of(records)
    columns = {each.header: each.values for each in section.grid.columns}
    return dict(zip(columns["method"], columns[header], strict=True))


def test_intervals_and_ties_stand_beside_ranks() -> None:
    far = {"vanilla": [80.0, 80.1, 79.9], "kd": [90.0, 90.2, 90.1], "at": [90.3, 90.0, 90.2], "sp": [95.0, None, 95.1]}
    records = fabricate.records_of(far)
    assert column(records, "#") == {"at": "1", "kd": "2", "vanilla": "3", "sp": "-"}
    assert column(records, "ranks") == {"at": "1-2", "kd": "1-2", "vanilla": "3", "sp": ""}
    assert column(records, "tie") == {"at": "a", "kd": "a", "vanilla": "b", "sp": ""}


def test_spreads_intervals_and_teachers_are_named_where_there_are_some() -> None:
    def last_line(seeds: int, taught: bool) -> str:
        scores: dict[str, list[float | None]] = {"vanilla": [85.0] * seeds, "kd": [90.0 if taught else None] * seeds}
        teacher = fabricate.record(fabricate.teacher_cell("conv32"), 97.0)
        (section,) = sections_of([*fabricate.records_of(scores), *([teacher] if taught else [])])
        assert section.title.startswith("tiny · digits · conv32:conv16")
        return section.how[-1]

    assert last_line(3, taught=True) == "spreads and intervals over 3 student seeds, one teacher"
    assert last_line(2, taught=True) == "spreads over 2 student seeds, one teacher"
    assert last_line(1, taught=True) == "values over 1 student seed, one teacher"
    assert last_line(2, taught=False) == "spreads over 2 student seeds"


def test_the_comparisons_are_said() -> None:
    (section,) = sections_of(fabricate.records_of({"vanilla": [80.0, 81.0, 82.0], "kd": [83.0, 83.0, 84.0]}))
    assert section.how[1] == (
        "gains paired by seed, ± half a 95 % interval; "
        "verdict, ranks and ties from paired t tests, weighted Holm over 1 comparison"
    )
    (few,) = sections_of(fabricate.records_of({"vanilla": [80.0], "kd": [83.0]}))
    assert few.how[1] == "gains paired by seed, no interval below 3 seeds"
    (alone,) = sections_of(fabricate.records_of({"at": [80.0, 81.0, 82.0], "sp": [83.0, 83.0, 84.0]}))
    assert alone.how[1] == "ranks and ties from paired t tests, Holm over all pairs"


def test_what_the_table_could_have_seen() -> None:
    (section,) = sections_of(fabricate.records_of({"kd": [0.0, 0.0, 0.0], "at": [3.0, 1.0, 2.0]}))
    # 4.3027 * 1 / sqrt(3)
    assert "smallest difference to kd that these seeds would show: 2.48 points" in section.remarks
    spreads = {"kd": [0.0, 0.0, 0.0], "at": [3.0, 1.0, 2.0], "sp": [6.0, 2.0, 4.0], "cc": [4.0, 2.0, 3.0]}
    (three,) = sections_of(fabricate.records_of(spreads))
    # 10.886 / sqrt(3): six comparisons.
    assert "smallest difference to kd that these seeds would show: 6.28 to 12.57 points, median 6.28" in three.remarks
    (none,) = sections_of(fabricate.records_of({"kd": [0.0, 0.0], "at": [3.0, 1.0]}))
    assert not any("would show" in line for line in none.remarks)


def test_undecided_names_the_nearest_and_counts_the_rest() -> None:
    swings = {f"m{i:02}": [91.0 + i, 91.0 - i, 91.0] for i in range(1, 12)}
    (section,) = sections_of(fabricate.records_of({"kd": [90.0] * 3, **swings}))
    (line,) = (line for line in section.remarks if line.startswith("undecided against kd"))
    names = re.findall(r"(m\d\d) (\d+)", line)
    assert [name for name, _ in names] == [f"m{i:02}" for i in range(1, 9)]
    assert [int(n) for _, n in names] == sorted(int(n) for _, n in names)
    assert line.endswith(" and 2 more; more than 1000: m11")


def test_what_no_number_of_seeds_would_settle_is_said_in_words() -> None:
    swings = {"at": [190.0, 0.0, 80.3], "sp": [0.0, 190.0, 80.3], "cc": [91.0, 92.5, 91.0]}
    (section,) = sections_of(fabricate.records_of({"kd": [90.0] * 3, **swings}))
    (line,) = (line for line in section.remarks if line.startswith("undecided against kd"))
    assert line.endswith("; more than 1000: at, sp")
    assert "None" not in line


def test_intervals_widened_to_the_rank_are_said() -> None:
    early = fabricate.records_of({"kd": [90.0, 91.0, 92.0]})
    late = [fabricate.record(fabricate.cell("at", seed), 80.0 + seed) for seed in (4, 5, 6)]
    (section,) = sections_of([*early, *late])
    (line,) = (line for line in section.remarks if line.startswith("means are over different seeds"))
    assert line.endswith("intervals of ranks compare equal seeds; intervals are widened to hold the rank by the mean.")


def test_what_pretrained_weights_saw_is_a_remark() -> None:
    frame = fabricate.scores_table({"vanilla": [88.0, 88.1], "kd": [90.0, 91.0], "at": [89.0, 89.5]})
    assert not any("saw" in remark for remark in of_frame(frame).remarks)
    frame["seen_data"] = "ImageNet-1k"
    assert "pretrained weights behind every row saw ImageNet-1k" in of_frame(frame).remarks
    frame.loc[frame["method"] == "vanilla", "seen_data"] = ""
    frame.loc[frame["method"] == "at", "seen_data"] = "unknown"
    remarks = of_frame(frame).remarks
    assert "pretrained weights behind kd saw ImageNet-1k" in remarks
    assert "it is not on record what pretrained weights behind at saw" in remarks


def of_frame(frame: pd.DataFrame) -> Section:
    (ranking,) = rankings(frame, REFERENCES)
    return ranking_section(ranking)
