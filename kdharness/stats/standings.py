"""Variants ranked by their benchmark's rule, with uncertainty, gains and costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kdharness.stats.comparisons import Family, families
from kdharness.stats.paired import gains_over
from kdharness.stats.privacy import budget_of_all, most_spent
from kdharness.stats.settings import COMPETITOR, SETTING, comparable
from kdharness.stats.summary import summarise
from kdharness.stats.ties import rank_intervals, tie_groups

REFERENCES = ("vanilla", "kd")
# What it takes to have a student, its pair's teachers given: the sum of these.
COST = ("alone_seconds", "chain_seconds")
# Below this teacher-student gap in points a share of it says nothing.
LEAST_GAP_POINTS = 1.0

# What the data leave open of a rank.
OF_RANK = ("rank_low", "rank_high", "tie_group")

STANDING_COLUMNS = (
    *SETTING, "regime", "rank", *OF_RANK, *COMPETITOR, "selection", "n", "seeds", "top1_mean", "top1_sd",
    "top1_ci_low", "top1_ci_high", "visible_difference",
)  # fmt: skip
GAIN_COLUMNS = (
    "",
    "_n",
    "_ci_low",
    "_ci_high",
    "_p",
    "_p_holm",
    "_t_p_holm",
    "_comparisons",
    "_correlation",
    "_verdict",
    "_seeds_needed",
)
MEASURED_COLUMNS = (
    "teacher_top1", "gap_share", "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds",
    "peak_memory_bytes", "student_parameters", "student_macs", "pareto", "planned", "ok", "failed", "pending",
    "skipped", "complete", "method_package", "method_revision", "device", "precision", "fingerprint",
    "kdharness_version", "torch_version", "seen_data", "epsilon", "delta", "epsilon_of_all", "delta_of_all",
)  # fmt: skip
KEY = (*SETTING, *COMPETITOR)
MEANS = ("train_seconds", "shared_seconds", *COST)
SPENT = MEASURED_COLUMNS[-4:]
LARGEST = ("peak_memory_bytes", "student_parameters", "student_macs")
TEXTS = (
    "selection", "method_package", "method_revision", "device", "precision", "fingerprint", "kdharness_version",
    "torch_version", "seen_data",
)  # fmt: skip


def columns(references: Sequence[str] = REFERENCES) -> list[str]:
    """The leaderboard's columns, in order."""
    gains = [f"gain_over_{reference}{part}" for reference in references for part in GAIN_COLUMNS]
    return [*STANDING_COLUMNS, *gains, *MEASURED_COLUMNS]


def standings(frame: pd.DataFrame, references: Sequence[str] = REFERENCES) -> pd.DataFrame:
    """One row per variant and setting of a results table, best first; `columns(references)`.

    Ranks count within a setting and regime, by mean top1, among the variants whose every planned seed has a value; the
    others stand below, without a rank. Verdicts, intervals of ranks and ties come from the same comparisons.
    """
    rows, _ = comparable(frame)
    board = summarise(rows).rename(columns={name: f"top1_{name}" for name in ("mean", "sd", "ci_low", "ci_high")})
    compared = families(rows, references)
    for reference in references:
        board = board.merge(_gains(compared, reference, reference == references[-1]), on=list(KEY), how="left")
    board = board.merge(_measured(rows), on=list(KEY), how="left")
    board["teacher_top1"] = _teacher_accuracy(board, rows, frame)
    board["gap_share"] = _gap_share(board)
    board["pareto"] = _pareto(board)
    board["rank"] = _ranks(board)
    board = board.sort_values(
        [*SETTING, "regime", "rank", "top1_mean", *COMPETITOR], ascending=_ascending(), ignore_index=True
    )
    board = board.assign(**_open_ranks(board, compared))
    words = [*TEXTS, *[f"gain_over_{reference}_verdict" for reference in references]]
    board[words] = board[words].fillna("")
    return board.reindex(columns=columns(references))


def _ascending() -> list[bool]:
    return [*[True] * (len(SETTING) + 2), False, *[True] * len(COMPETITOR)]


def _gains(compared: Sequence[Family], reference: str, is_last: bool) -> pd.DataFrame:
    gains = gains_over(reference, compared).rename(columns={"gain": ""})
    parts = [part.removeprefix("_") for part in GAIN_COLUMNS]
    gains = gains[[*KEY, *parts, *(["visible_difference"] if is_last else [])]]
    gains["n"] = gains["n"].astype("Int64")
    named = {part.removeprefix("_"): f"gain_over_{reference}{part}" for part in GAIN_COLUMNS}
    return gains.rename(columns=named)


def _open_ranks(board: pd.DataFrame, compared: Sequence[Family]) -> dict[str, pd.Series[Any]]:
    """The columns OF_RANK of a board in its order."""
    low, high = (pd.Series(pd.NA, index=board.index, dtype="Int64") for _ in range(2))
    ties = pd.Series("", index=board.index, dtype=object)
    known = {family.setting: family for family in compared}
    ranked = board[board["rank"].notna()]
    for (*setting, _), group in ranked.groupby([*SETTING, "regime"]):
        family = known[tuple(setting)]
        better = family.found_better(list(group[list(COMPETITOR)].itertuples(index=False, name=None)))
        best, worst = rank_intervals(better, group["rank"].to_numpy(dtype="int64"))
        low[group.index], high[group.index] = best, worst
        ties[group.index] = np.array(tie_groups(better | better.T), dtype=object)
    return {"rank_low": low, "rank_high": high, "tie_group": ties}


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Costs and circumstances of each competitor's ok cells; texts are joined where they differ."""
    ok = rows[rows["status"] == "ok"]
    groups = ok.groupby(list(KEY), sort=False)
    numbers = groups[[*MEANS, *LARGEST]].agg({**dict.fromkeys(MEANS, "mean"), **dict.fromkeys(LARGEST, "max")})
    # In arrays and for those alone that spent something: a frame for each competitor takes long in a large folder.
    places = [groups.indices[names] for names in numbers.index]
    columns = {name: ok[name].to_numpy() for name in TEXTS}
    texts = {name: [_distinct(values[own]) for own in places] for name, values in columns.items()}
    has_spent = ok["epsilon"].notna().to_numpy()
    spent = [_spent(ok.iloc[own]) if has_spent[own].any() else [math.nan] * len(SPENT) for own in places]
    words = pd.DataFrame(texts, index=numbers.index, dtype="object")
    return numbers.join(words).join(pd.DataFrame(spent, index=numbers.index, columns=list(SPENT))).reset_index()


def _spent(cells: pd.DataFrame) -> list[float]:
    """What a competitor's students tell of private images: one of them, and all together."""
    found = most_spent(cells), budget_of_all(cells)
    return [value for b in found for value in ((math.nan, math.nan) if b is None else (b.epsilon, b.delta))]


def _distinct(values: Iterable[str]) -> str:
    return " | ".join(sorted(set(values) - {""}))


def _teacher_accuracy(board: pd.DataFrame, taught: pd.DataFrame, frame: pd.DataFrame) -> list[float]:
    """Per row the mean accuracy of the setting's teachers: as its students saw them, else as they were trained.

    taught: what is comparable of the frame.
    """
    ok = frame.loc[frame["status"] == "ok", ["cell", "top1"]]
    seen = taught[taught["status"] == "ok"].groupby(list(SETTING))["teacher_top1"].mean().to_dict()
    trained = taught["teacher_cell"].map(ok.drop_duplicates("cell").set_index("cell")["top1"])
    once = taught[[*SETTING, "teacher_cell"]].assign(_trained=trained).drop_duplicates([*SETTING, "teacher_cell"])
    own = once.groupby(list(SETTING))["_trained"].mean().to_dict()
    found = []
    for names in board[list(SETTING)].itertuples(index=False, name=None):
        accuracy = seen.get(names, math.nan)
        found.append(own.get(names, math.nan) if math.isnan(accuracy) else accuracy)
    return found


def _gap_share(board: pd.DataFrame) -> pd.Series[float]:
    """Gain over the plain student as a share of the teacher's; empty where the gap is tiny."""
    if "gain_over_vanilla" not in board:
        return pd.Series(math.nan, index=board.index)
    plain = board[(board["method"] == "vanilla") & (board["variant"] == "")]
    gap = (
        board["teacher_top1"] - board.merge(plain[[*SETTING, "top1_mean"]], on=list(SETTING), how="left")["top1_mean_y"]
    )
    return board["gain_over_vanilla"] / gap.where(gap >= LEAST_GAP_POINTS)


def _pareto(board: pd.DataFrame) -> pd.Series[bool]:
    """Whether no complete variant of the setting is as good at less cost, or better at as little."""
    best: list[int] = []
    costs = cost_seconds(board)
    candidates = board[board["complete"] & costs.notna()]
    for _, group in candidates.groupby(list(SETTING)):
        points = list(zip(group["top1_mean"], costs[group.index], strict=True))
        free = [not any(_dominates(other, point) for other in points) for point in points]
        best += group.index[free].to_list()
    return pd.Series(board.index.isin(best), index=board.index)


def cost_seconds(board: pd.DataFrame) -> pd.Series[float]:
    """Of each row the time that it takes to have such a student; empty where a part of it is not known."""
    return board[list(COST)].sum(axis=1, skipna=False)


def _dominates(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other[0] >= point[0] and other[1] <= point[1] and other != point


def _ranks(board: pd.DataFrame) -> pd.Series[Any]:
    ranked = board[board["complete"] & (board["n"] > 0)]
    means = ranked["top1_mean"].round(9)  # equal scores are equal however they were summed
    ranks = means.groupby([ranked[name] for name in (*SETTING, "regime")]).rank(ascending=False, method="min")
    return ranks.reindex(board.index).astype("Int64")
