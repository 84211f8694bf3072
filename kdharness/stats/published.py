"""What was measured beside what others published: whether it is reproduced, and how far published runs lie apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas as pd

from kdharness.planning.cell import STUDENT, TEACHER
from kdharness.planning.plan import PlannedCell
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.recipe_files import RecipeFile, recipe_file
from kdharness.protocol.track import PUBLISHED
from kdharness.results.published import FIRST_HAND, published_numbers
from kdharness.stats.settings import as_dicts
from kdharness.stats.summary import Estimate, estimate

# Points. Runs of one command differ by so much, and tables that cite one source do too.
WITHIN = 0.6

# What is measured as one: of cells that differ in their seeds alone.
ALIKE = (
    "benchmark",
    "dataset",
    "protocol",
    "scenario",
    "deviations",
    "role",
    "method",
    "variant",
    "teacher",
    "student",
)
PLACE = ("method", "teacher", "student")

# Published epochs and the columns that they are held against; where nobody says, the last one.
MEASURED_BY = {"last": "top1", "": "top1", "best": "top1_test_oracle"}

# Of a recipe, what changes no number that anybody reports.
BESIDE_THE_POINT = ("channels_last",)


class Match(StrEnum):
    """How a measured number stands to a published one."""

    REPRODUCED = "reproduced"
    ABOVE = "above"
    BELOW = "below"
    NOT_COMPARABLE = "not comparable"


@dataclass(frozen=True)
class Compared:
    """A measured number and a published one.

    role: "teacher" for a network that was trained to teach.
    measured: top-1 over seeds, by the published rule where it is known.
    published: in percent.
    rule: "last", "best", or "" where nobody says.
    reason: why the two are not comparable; "" where they are.
    tuned: whether its parameters are those of the published track, and not known to be the method's own.
    by_pair: those of them that authors choose for each pair.
    """

    role: str
    method: str
    teacher: str
    student: str
    measured: Estimate
    published: float
    rule: str
    source: str
    kind: str
    verdict: Match
    reason: str = ""
    tuned: bool = False
    by_pair: Mapping[str, Any] = field(default_factory=dict)

    @property
    def difference(self) -> float:
        return self.measured.mean - self.published


# Who ran something, and what came out.
Run = tuple[str, float]


@dataclass(frozen=True)
class PublishedSpread:
    """Runs of one method on one pair, by those who ran them.

    runs: whatever their recipe, the lowest first.
    alike: those of them that say the same recipe and parameters, and nothing else that differs.
    """

    method: str
    teacher: str
    student: str
    runs: tuple[Run, ...]
    alike: tuple[Run, ...]


def width(runs: Sequence[Run]) -> float:
    """Points between the lowest and the highest; NaN below two."""
    return runs[-1][1] - runs[0][1] if len(runs) > 1 else math.nan


@dataclass(frozen=True)
class PublishedBeside:
    """Of one benchmark's dataset. compared: networks alone first."""

    benchmark: str
    dataset: str
    compared: tuple[Compared, ...]
    spreads: tuple[PublishedSpread, ...]


def published_beside(frame: pd.DataFrame, planned: Mapping[str, PlannedCell]) -> tuple[PublishedBeside, ...]:
    """One for each benchmark and dataset with a published number of what was measured.

    planned: by key, the cells of the frame's rows, which know their recipes.
    """
    measured = frame[(frame["status"] == "ok") & frame["role"].isin((STUDENT, TEACHER)) & frame["top1"].notna()]
    measured = measured[(measured["scenario"] == "clean") & ~measured["teacher"].str.contains("+", regex=False)]
    numbers = published_numbers(set(measured["dataset"]))
    numbers = numbers[numbers["method"] != ""]
    found = []
    for (benchmark, dataset), rows in measured.groupby(["benchmark", "dataset"]):
        known = numbers[numbers["dataset"] == dataset]
        groups = [part for _, group in rows.groupby(list(ALIKE)) for part in _by_parameters(group, planned)]
        compared = [each for group in groups for each in _compared(group, known, planned)]
        if compared:
            ordered = sorted(compared, key=_order)
            found.append(PublishedBeside(str(benchmark), str(dataset), tuple(ordered), _spreads(known, compared)))
    return tuple(found)


def _order(each: Compared) -> tuple[Any, ...]:
    alone = each.role != TEACHER, bool(each.teacher)
    return (*alone, each.teacher, each.student, each.method, each.tuned, each.kind, each.source)


@dataclass(frozen=True)
class _Alike:
    """Cells of one setting that differ in their seeds alone.

    of_all: whether its parameters are those that the method has for all pairs.
    by_pair: in the published track, those that authors choose for each pair.
    """

    rows: pd.DataFrame
    of_all: bool
    by_pair: Mapping[str, Any]


def _by_parameters(rows: pd.DataFrame, planned: Mapping[str, PlannedCell]) -> Iterator[_Alike]:
    """Cells of both tracks apart; all as one, each cell once, where a cell stands in both."""
    is_published = rows["track"] == PUBLISHED
    published, usual = rows[is_published], rows[~is_published]
    cells = [planned[key].cell for key in published["cell"] if key in planned]
    by_pair = cells[0].by_pair if cells else {}
    if published["cell"].isin(usual["cell"]).any():
        yield _Alike(rows.drop_duplicates("cell"), True, by_pair)
        return
    if len(usual):
        yield _Alike(usual, True, {})
    if len(published):
        yield _Alike(published, not by_pair, by_pair)


def _compared(alike: _Alike, known: pd.DataFrame, planned: Mapping[str, PlannedCell]) -> Iterator[Compared]:
    """One measured number beside each published one; what is merely listed only where nobody says that they ran it."""
    rows = alike.rows
    first = as_dicts(rows)[0]
    # A variant has other parameters than the method, which nobody published.
    if first["variant"]:
        return
    same = known
    for name in PLACE:
        same = same[same[name] == first[name]]
    by_hand = same[same["kind"].isin(FIRST_HAND)]
    cells = [planned[key].cell for key in rows["cell"] if key in planned]
    recipe = Recipe.model_validate(dict(cells[0].recipe)) if cells else None
    for number in as_dicts(by_hand if len(by_hand) else same):
        values = rows[MEASURED_BY.get(number["rule"], "top1")]
        reason = _incomparable(first, alike, number, recipe) or _unmeasured(values)
        found = estimate(values.dropna().tolist() or rows["top1"].tolist())
        verdict = Match.NOT_COMPARABLE if reason else _verdict(found.mean, number, by_hand)
        yield Compared(
            str(first["role"]),
            str(first["method"]),
            str(first["teacher"]),
            str(first["student"]),
            found,
            float(number["top1"]),
            str(number["rule"]),
            str(number["source"]),
            str(number["kind"]),
            verdict,
            reason,
            not alike.of_all,
            alike.by_pair,
        )


def _unmeasured(values: pd.Series[float]) -> str:
    return "" if values.notna().all() else "the best epoch on test was not looked for"


def _incomparable(row: Mapping[str, Any], alike: _Alike, number: Mapping[str, Any], recipe: Recipe | None) -> str:
    """Why a published number is no measure of a row; "" where it is."""
    if row["deviations"]:
        return f"this run deviates: {row['deviations']}"
    if number["apart"]:
        return f"there: {number['apart']}"
    if number["rule"] not in MEASURED_BY:
        return "the epoch is chosen on validation images there"
    if number["parameters"] == "pair" and not alike.by_pair:
        return "parameters are chosen for each pair there"
    if number["parameters"] != "pair" and not alike.of_all:
        return "parameters are chosen for each pair here"
    if not number["recipe"]:
        return "the recipe is not known here"
    file = recipe_file(str(number["recipe"]))
    if file.left_out:
        return f"of the recipe {file.name} this leaves out: {file.left_out[0]}"
    return "no plan says the recipe" if recipe is None else _other_recipe(recipe, file, row)


def _other_recipe(recipe: Recipe, file: RecipeFile, row: Mapping[str, Any]) -> str:
    """What differs between a cell's recipe and the published one."""
    expected = file.of(str(row["student"]), row["role"] == TEACHER)
    differ = [
        f"{name} {getattr(recipe, name)} here, {getattr(expected, name)} there"
        for name in Recipe.model_fields
        if name not in BESIDE_THE_POINT and getattr(recipe, name) != getattr(expected, name)
    ]
    return ", ".join(differ[:3]) + (" and more" if len(differ) > 3 else "")


def _verdict(mean: float, number: Mapping[str, Any], by_hand: pd.DataFrame) -> Match:
    """Reproduced: within WITHIN, or between the lowest and the highest run that says the same recipe and parameters and
    no other rule.
    """
    same = by_hand["rule"].isin((number["rule"], "")) & (by_hand["parameters"] == number["parameters"])
    runs = by_hand["top1"][same & (by_hand["recipe"] == number["recipe"]) & (by_hand["apart"] == "")]
    between = len(runs) > 1 and float(runs.min()) <= mean <= float(runs.max())
    difference = mean - float(number["top1"])
    if between or abs(difference) <= WITHIN + 1e-9:
        return Match.REPRODUCED
    return Match.ABOVE if difference > 0 else Match.BELOW


def _spreads(known: pd.DataFrame, compared: Sequence[Compared]) -> tuple[PublishedSpread, ...]:
    """Of what was measured, where more than one ran it: the widest first."""
    places = {(each.method, each.teacher, each.student) for each in compared}
    found = []
    for (method, teacher, student), rows in known[known["kind"].isin(FIRST_HAND)].groupby(list(PLACE)):
        if (method, teacher, student) in places and len(rows) > 1:
            plain = rows[(rows["apart"] == "") & (rows["recipe"] != "")]
            groups = [_runs(group) for _, group in plain.groupby(["recipe", "parameters"])]
            alike = max(groups, key=len, default=())
            found.append(PublishedSpread(str(method), str(teacher), str(student), _runs(rows), alike))
    return tuple(sorted(found, key=lambda spread: -width(spread.runs)))


def _runs(rows: pd.DataFrame) -> tuple[Run, ...]:
    """The lowest first."""
    return tuple(sorted(zip(rows["source"], rows["top1"].astype(float), strict=True), key=lambda run: run[1]))


def teacher_top1(dataset: str, model: str) -> float:
    """What a network alone reaches by the table that most papers copy; nan where there is none."""
    known = published_numbers({dataset})
    alone = known[(known["method"] == "vanilla") & (known["teacher"] == "") & (known["student"] == model)]
    usual = alone[(alone["kind"] == "own") & (alone["apart"] == "") & (alone["recipe"] != "")]
    return float(usual["top1"].iloc[0]) if len(usual) else math.nan
