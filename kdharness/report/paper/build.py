"""From the rankings of a report to tables of methods by pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from kdharness.report.paper.caption import caption_of
from kdharness.report.paper.table import PaperRow, PaperTable, Score
from kdharness.report.sections.titles import joined, place_of
from kdharness.report.view import Report
from kdharness.stats.overall import Overall
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import BLOCK, as_dicts, competitor_of
from kdharness.stats.summary import LEAST_FOR_INTERVAL
from kdharness.text import plain, printable

PLAIN = ("vanilla", "")
Competitor = tuple[str, str, str]  # regime, method, variant
Gain = tuple[float, float]  # and half of its interval


def paper_tables(report: Report) -> tuple[PaperTable, ...]:
    """One for each dataset, scenario, recipe and track, in the order of the report."""
    blocks: dict[tuple[str, ...], list[Ranking]] = {}
    for ranking in report.rankings:
        key = (ranking.deviations, *(ranking.names[column] for column in BLOCK))
        blocks.setdefault(key, []).append(ranking)
    return tuple(_table(rankings, report) for rankings in blocks.values())


def _table(rankings: Sequence[Ranking], report: Report) -> PaperTable:
    names = rankings[0].names
    reference, gains = _gains(rankings, report.overalls)
    rows = dict(_rows(rankings, gains))
    student = next((competitor for competitor in rows if competitor[1:] == PLAIN), None)
    over = f"{'mean ' if len(rankings) > 1 else ''}gain over {reference}"
    return PaperTable(
        about=printable(joined(names["benchmark"], names["dataset"], *place_of(names))),
        deviations=printable(rankings[0].deviations),
        pairs=tuple((_teacher(ranking.names), printable(ranking.names["student"])) for ranking in rankings),
        teachers=tuple(float(ranking.board["teacher_top1"].iloc[0]) for ranking in rankings),
        student=rows.pop(student) if student else None,
        groups=tuple(_groups(rows)),
        gains=over if gains else "",
        caption=printable(caption_of(rankings, reference if gains else "")),
        note=plain(report.notes.get((names["benchmark"], names["dataset"]), "")),
    )


def _teacher(names: Mapping[str, str]) -> str:
    """With the digest of its file, where it comes from one."""
    source = f" (file {names['teacher_source'][:8]})" if names["teacher_source"] else ""
    return printable(f"{names['teacher']}{source}")


def _rows(rankings: Sequence[Ranking], gains: Mapping[Competitor, Gain]) -> Iterator[tuple[Competitor, PaperRow]]:
    scores = [_scores(ranking) for ranking in rankings]
    for competitor in dict.fromkeys(competitor for each in scores for competitor in each):
        _, method, variant = competitor
        name = printable(competitor_of({"method": method, "variant": variant}))
        here = tuple(each.get(competitor, Score()) for each in scores)
        yield competitor, PaperRow(name, here, *gains.get(competitor, (math.nan, math.nan)))


def _scores(ranking: Ranking) -> dict[Competitor, Score]:
    rows = as_dicts(ranking.board)
    best: dict[str, set[str]] = {}  # letters of the best of each regime
    for row in rows:
        if row["complete"] and row["rank"] == 1:
            best.setdefault(row["regime"], set()).update(_letters(row["tie_group"]))
    return {_competitor(row): _score(row, best.get(row["regime"], set())) for row in rows}


def _competitor(row: Mapping[str, Any]) -> Competitor:
    return row["regime"], row["method"], row["variant"]


def _score(row: Mapping[str, Any], best: set[str]) -> Score:
    if not row["complete"]:
        return Score(row["top1_mean"], row["top1_sd"], f"{row['n']}/{row['planned']}")
    is_best = row["rank"] == 1
    tied = not is_best and row["n"] >= LEAST_FOR_INTERVAL and not best.isdisjoint(_letters(row["tie_group"]))
    return Score(row["top1_mean"], row["top1_sd"], best=is_best, tied=tied)


def _letters(group: str) -> set[str]:
    """'ab' are two letters, '1 12' two numbers."""
    return set(group.split()) if group[:1].isdigit() else set(group)


def _groups(rows: Mapping[Competitor, PaperRow]) -> Iterator[tuple[str, tuple[PaperRow, ...]]]:
    """By regime. What lacks pairs stands below what has all of them, whatever its mean over those that it has."""
    by_regime: dict[str, list[PaperRow]] = {}
    for (regime, _, _), row in rows.items():
        by_regime.setdefault(regime, []).append(row)
    for regime in sorted(by_regime):
        yield printable(regime.replace("_", " ")), tuple(sorted(by_regime[regime], key=_place))


def _place(row: PaperRow) -> tuple[int, float, str]:
    whole = [score.mean for score in row.scores if not math.isnan(score.mean) and not score.seeds]
    return len(row.scores) - len(whole), -round(sum(whole) / len(whole), 9) if whole else 0.0, row.name


def _gains(rankings: Sequence[Ranking], overalls: Iterable[Overall]) -> tuple[str, dict[Competitor, Gain]]:
    """What the gains are over, and those of each competitor: of one pair, or the mean over all that count."""
    first = rankings[0]
    if len(rankings) == 1:
        if not first.references:
            return "", {}
        reference = first.references[-1]
        prefix = f"gain_over_{reference}"
        return reference, _read(first.board, prefix, f"{prefix}_")
    same = [o for o in overalls if all(o.names[column] == first.names[column] for column in BLOCK)]
    if not same or first.deviations:
        return "", {}
    reference = same[0].references[-1]
    return reference, _read(same[0].rows, f"{reference}_gain", f"{reference}_")


def _read(table: pd.DataFrame, gain: str, prefix: str) -> dict[Competitor, Gain]:
    known = as_dicts(table[table[gain].notna()])
    return {_competitor(r): (r[gain], (r[f"{prefix}ci_high"] - r[f"{prefix}ci_low"]) / 2) for r in known}
