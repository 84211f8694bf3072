"""The ranking of one setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from kdharness.planning.cell import UNKNOWN
from kdharness.report.figures import Gain, GainFigure, with_interval
from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import (
    COST,
    GAIN,
    MEMORY,
    RANK,
    TIES,
    VERDICT,
    Column,
    Grid,
    half_width,
    regime_groups,
    with_error,
)
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, joined, setting_title
from kdharness.stats.paired import MOST_SEEDS, Verdict
from kdharness.stats.rankings import Ranking
from kdharness.stats.settings import as_dicts, competitor_of
from kdharness.stats.standings import cost_seconds
from kdharness.stats.summary import LEAST_FOR_INTERVAL

SELECTIONS = {"last": "last epoch", "val": "best on validation", "validation": "best on validation"}
SHORT = {Verdict.EQUAL.value: "equal"}
MEBIBYTE = 2**20
MOST_NAMES = 8


def ranking_section(ranking: Ranking) -> Section:
    departs = banner(ranking.deviations)
    return Section(
        kind=SectionKind.RANKING,
        title=_title(ranking),
        grid=ranking_grid(ranking),
        banner=f"{departs}; not on the leaderboard" if departs else "",
        remarks=tuple(remarks(ranking)),
        how=tuple(line for line in (_measured(ranking.board), _compared(ranking), _over(ranking)) if line),
        figures=gain_figures(ranking),
    )


def ranking_grid(ranking: Ranking) -> Grid:
    """Rank, its interval, ties, method, top-1 ± standard deviation, gains ± half their 95 % interval, verdict, cost."""
    board = _beside_references(ranking.board, ranking.references)
    rows = as_dicts(board)
    found = [
        Column("#", tuple(_rank(row) for row in rows), dropped=RANK),
        Column("ranks", tuple(_ranks(row) for row in rows)),
        Column("tie", tuple("" if row["beside"] else row["tie_group"] for row in rows), words=True, dropped=TIES),
        Column("method", tuple(competitor_of(row) for row in rows), name=True),
        Column("top-1 ±sd", with_error(board["top1_mean"], board["top1_sd"])),
        Column("n", tuple(_count(row) for row in rows)),
        *_gains(board, ranking.references),
    ]
    seconds = tuple("" if math.isnan(s) else f"{s:.{1 if s < 100 else 0}f}" for s in cost_seconds(board))
    memory = tuple("" if pd.isna(b) else f"{b / MEBIBYTE:.0f}" for b in board["peak_memory_bytes"])
    found.append(Column("train s", seconds, dropped=COST))
    if any(memory):
        found.append(Column("MiB", memory, dropped=MEMORY))
    best = tuple(place for place, row in enumerate(rows) if _rank(row) == "1")
    return Grid(tuple(found), regime_groups(rows), best)


def _gains(board: pd.DataFrame, references: Sequence[str]) -> list[Column]:
    """Over each reference, and the verdict against the last, which narrow places keep longest."""
    found = []
    for reference in references:
        gain = f"gain_over_{reference}"
        texts = with_error(board[gain], half_width(board[f"{gain}_ci_low"], board[f"{gain}_ci_high"]), "+")
        found.append(Column(f"vs {reference}", texts, dropped=0 if reference == references[-1] else GAIN))
    if references:
        verdicts = tuple(SHORT.get(word, word) for word in board[f"gain_over_{references[-1]}_verdict"])
        found.append(Column("verdict", verdicts, words=True, dropped=VERDICT))
    return found


def _beside_references(board: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """The board with the references repeated, marked as `beside`, at the top of each regime that lacks them."""
    plain = board[board["method"].isin(references) & (board["variant"] == "")].drop_duplicates("method")
    parts = []
    for regime, group in board.groupby("regime"):
        lacking = plain[~plain["method"].isin(group["method"][group["variant"] == ""])]
        if len(lacking):
            parts.append(lacking.assign(regime=regime, beside=True))
        parts.append(group.assign(beside=False))
    return pd.concat(parts, ignore_index=True) if parts else board.assign(beside=False)


def _rank(row: Mapping[str, Any]) -> str:
    return "" if row["beside"] else "-" if pd.isna(row["rank"]) else str(row["rank"])


def _ranks(row: Mapping[str, Any]) -> str:
    """'1-4', or '1' where nothing else is open."""
    if row["beside"] or pd.isna(row["rank_low"]):
        return ""
    low, high = row["rank_low"], row["rank_high"]
    return str(low) if low == high else f"{low}-{high}"


def _count(row: Mapping[str, Any]) -> str:
    return str(row["n"]) if row["complete"] else f"{row['n']}/{row['planned']}"


def gain_figures(ranking: Ranking) -> tuple[GainFigure, ...]:
    """The gains over the first reference; none without one."""
    if not ranking.references:
        return ()
    name = f"gain_over_{ranking.references[0]}"
    gains = tuple(
        Gain(competitor_of(row), row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])
        for row in as_dicts(ranking.board)
        if not pd.isna(row[name])
    )
    title = joined(ranking_name(ranking), f"gain over {ranking.references[0]}")
    label = with_interval(f"points over {ranking.references[0]}", gains)
    return (GainFigure(title, ranking.deviations, label, gains),)


# -- the lines around the table ---------------------------------------------------------------------------------------


def ranking_name(ranking: Ranking) -> str:
    """What tells a ranking from all others that follow the benchmark as it does."""
    source = f"teacher file {ranking.names['teacher_source'][:8]}" if ranking.names["teacher_source"] else ""
    protocol = f"protocol {ranking.names['protocol'][:8]}" if ranking.protocols > 1 else ""
    return setting_title(ranking.names, source, protocol)


def _title(ranking: Ranking) -> str:
    teacher = float(ranking.board["teacher_top1"].iloc[0])
    accuracy = "" if math.isnan(teacher) else f"teacher {teacher:.2f} %"
    return joined(ranking_name(ranking), accuracy)


def _measured(board: pd.DataFrame) -> str:
    """How it was measured."""
    selection = " | ".join(SELECTIONS.get(name, name) for name in _distinct(board["selection"]))
    prints = _distinct(board["fingerprint"])
    # A fingerprint names precision and release of torch.
    circumstances = prints[:1] or [*_distinct(board["precision"]), *_distinct(board["torch_version"])]
    more = [f"and {len(prints) - 1} other fingerprint{'s' if len(prints) > 2 else ''}"] if len(prints) > 1 else []
    seeds = "seeds " + " | ".join(_distinct(board["seeds"]))
    return " · ".join(part for part in (selection, seeds, *_distinct(board["device"]), *circumstances, *more) if part)


def _compared(ranking: Ranking) -> str:
    """How gains, verdicts, intervals of ranks and ties came about."""
    board = ranking.board
    enough = bool((board["n"] >= LEAST_FOR_INTERVAL).any())
    interval = "± half a 95 % interval" if enough else f"no interval below {LEAST_FOR_INTERVAL} seeds"
    gains = [f"gains paired by seed, {interval}"] if ranking.references else []
    counts = [board[f"gain_over_{reference}_comparisons"].max() for reference in ranking.references]
    tests = max((int(count) for count in counts if not pd.isna(count)), default=0)
    holm = f"weighted Holm over {tests} comparison{'' if tests == 1 else 's'}" if tests else "Holm over all pairs"
    read = "verdict, ranks and ties" if ranking.references else "ranks and ties"
    tested = [f"{read} from paired t tests, {holm}"] if enough else []
    return "; ".join([*gains, *tested])


def _over(ranking: Ranking) -> str:
    """What the spreads are of, so far as there are any."""
    seeds = ranking.board["n"].max()
    what = "spreads and intervals" if seeds >= LEAST_FOR_INTERVAL else "spreads" if seeds > 1 else "values"
    return f"{what} {over_seeds(names_behind(ranking), ranking.board['n'])}"


def names_behind(ranking: Ranking) -> Mapping[str, str]:
    """Its names; without a teacher where none is measured yet, for then nothing rests on one."""
    return ranking.names if ranking.board["teacher_top1"].notna().any() else {**ranking.names, "teacher": ""}


def remarks(ranking: Ranking) -> list[str]:
    """What a reader must know to read the numbers right, one line each."""
    return [
        *_teachers(ranking),
        *(f"the same students, to the last digit of every seed: {', '.join(names)}" for names in ranking.identical),
        *_seen_data(ranking.board),
        *_unequal_seeds(ranking.board),
        *_fewer_in_gains(ranking),
        *_undecided(ranking),
        *_visible(ranking),
    ]


def _teachers(ranking: Ranking) -> list[str]:
    if not ranking.teachers:
        return []
    each = ", ".join(f"{name} {top1:.2f}" for name, top1 in ranking.teachers)
    return [f"each teacher: {each}; the heading's is their mean probability's"]


def _seen_data(board: pd.DataFrame) -> Iterator[str]:
    """What pretrained weights behind the rows saw."""
    for seen in _distinct(board["seen_data"]):
        rows = as_dicts(board[board["seen_data"] == seen])
        whose = "every row" if len(rows) == len(board) else _some(map(competitor_of, rows))
        if seen == UNKNOWN:
            yield f"it is not on record what pretrained weights behind {whose} saw"
        else:
            yield f"pretrained weights behind {whose} saw {seen}"


def _unequal_seeds(board: pd.DataFrame) -> list[str]:
    common = board["seeds"].mode().iloc[0]
    others = board[board["seeds"] != common]
    if others.empty:
        return []
    listed = _some(f"{competitor_of(row)} {row['seeds']}" for row in as_dicts(others))
    compared = "Gains and intervals of ranks compare equal seeds"
    widened = "; intervals are widened to hold the rank by the mean" if others["rank"].notna().any() else ""
    return [f"means are over different seeds: {listed}; the others {common}. {compared}{widened}."]


def _fewer_in_gains(ranking: Ranking) -> list[str]:
    found, board = [], ranking.board
    for reference in ranking.references:
        n = f"gain_over_{reference}_n"
        rows = as_dicts(board[board[n].fillna(board["n"]) < board["n"]])
        if rows:
            listed = _some(f"{competitor_of(row)} {row[n]}" for row in rows)
            found.append(f"seeds in common with {reference}: {listed}")
    return found


def _undecided(ranking: Ranking) -> list[str]:
    if not ranking.references:
        return []
    reference = ranking.references[-1]
    rows = as_dicts(ranking.board[ranking.board[f"gain_over_{reference}_verdict"] == Verdict.UNDECIDED])
    if not rows:
        return []
    needs = [(row[f"gain_over_{reference}_seeds_needed"], competitor_of(row)) for row in rows]
    few = sorted(((int(n), name) for n, name in needs if not pd.isna(n)), key=lambda each: each[0])
    beyond = [name for n, name in needs if pd.isna(n)]
    parts = [f"about: {_some(f'{name} {n}' for n, name in few)}"] if few else []
    parts += [f"more than {MOST_SEEDS}: {_some(beyond)}"] if beyond else []
    return [f"undecided against {reference}; more seeds it would take, {'; '.join(parts)}"]


def _visible(ranking: Ranking) -> list[str]:
    """How small a difference the table could have seen."""
    if not ranking.references:
        return []
    seen = ranking.board["visible_difference"].dropna()
    if seen.empty:
        return []
    low, middle, high = (f"{value:.2f}" for value in (seen.min(), seen.median(), seen.max()))
    points = f"{low} points" if low == high else f"{low} to {high} points, median {middle}"
    return [f"smallest difference to {ranking.references[-1]} that these seeds would show: {points}"]


def _some(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - MOST_NAMES} more" if len(every) > MOST_NAMES else ""
    return ", ".join(every[:MOST_NAMES]) + more


def _distinct(values: pd.Series[Any]) -> list[str]:
    return [str(v) for v in dict.fromkeys(values) if v]
