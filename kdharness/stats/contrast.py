"""Methods held against one reference, setting by setting, with all that a verdict rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdharness.stats.equivalence import equal_p
from kdharness.stats.paired import Verdict, correlation, seeds_needed
from kdharness.stats.question import Competitor, Question
from kdharness.stats.settings import COMPETITOR, SETTING, comparable, deviating
from kdharness.stats.significance import ROUNDING, holm, sign_flip_ps, t_p
from kdharness.stats.standings import COST, LEAST_GAP_POINTS
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, OF_CELL, Estimate, estimate, measurements
from kdharness.text import seeds_text

# Values of one competitor.
BySeed = Mapping[int, float]

PLAIN: Competitor = ("vanilla", "")

CONTRAST_COLUMNS = (
    *SETTING, "deviations", "regime", *COMPETITOR, "metric", "smaller", "planned", "complete", "mean", "reference",
    "n", "seeds", "gain", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p", "t_p_holm", "equal_within", "equal_p",
    "equal_p_holm", "tests", "correlation", "verdict", "seeds_needed", "cost_seconds", "cost_ratio", "pareto",
    "gap_share",
)  # fmt: skip


@dataclass(frozen=True)
class Contrasted:
    """One competitor in one setting.

    about: its columns of CONTRAST_COLUMNS, without what a family gives. gains: over the reference, by seed; of the
    reference itself none.
    """

    about: Mapping[str, Any]
    gains: BySeed

    @property
    def family(self) -> tuple[str, str]:
        return str(self.about["deviations"]), str(self.about["track"])


def contrasts(frame: pd.DataFrame, question: Question) -> pd.DataFrame:
    """One row per competitor and setting that has the reference, and one for the reference itself; CONTRAST_COLUMNS.

    frame: a results table. gain: by how much the competitor is better, whichever way is better, paired by seed over the
    seeds that both have. Verdicts are `judged` in one family for each track and way to deviate: all rows of all its
    settings.
    """
    return table_of(contrasted(frame, question), question)


def table_of(each: Sequence[Contrasted], question: Question) -> pd.DataFrame:
    """The columns of `contrasts`."""
    families: dict[tuple[str, str], list[Contrasted]] = {}
    for one in each:
        families.setdefault(one.family, []).append(one)
    found: list[dict[str, Any]] = []
    for family in families.values():
        numbers = judged([list(one.gains.values()) for one in family], question.equal_within)
        found += [{**one.about, **known} for one, known in zip(family, numbers, strict=True)]
    table = pd.DataFrame(found, columns=list(CONTRAST_COLUMNS))
    return table.astype({"n": int, "tests": "Int64", "seeds_needed": "Int64"})


def contrasted(frame: pd.DataFrame, question: Question) -> list[Contrasted]:
    """By setting; those that follow their benchmark first."""
    # Groups of few columns are cut out much faster.
    needed = list(dict.fromkeys((*SETTING, *COMPETITOR, *OF_CELL, "regime", "teacher_top1", *COST, question.column)))
    return [
        one
        for deviations, rows in by_deviations(frame)
        for names, setting in rows[needed].groupby(list(SETTING))
        for one in _setting({**dict(zip(SETTING, names, strict=True)), "deviations": deviations}, setting, question)
    ]


def by_deviations(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The comparable rows that follow their benchmark, then those that deviate, each way by itself."""
    for deviations in sorted(set(frame["deviations"])):
        rows = deviating(frame, deviations) if deviations else frame[frame["deviations"] == ""]
        yield deviations, comparable(rows)[0]


def _setting(place: Mapping[str, Any], rows: pd.DataFrame, question: Question) -> Iterator[Contrasted]:
    """Nothing in a setting without the reference."""
    each = {(str(m), str(v)): group for (m, v), group in rows.groupby(list(COMPETITOR))}
    values = {name: values_of(group, question.column) for name, group in each.items()}
    base = values.get(question.reference)
    if not base:
        return
    costs = {name: cost_of(group) for name, group in each.items()}
    complete = {name: len(values[name]) == len(group) for name, group in each.items()}
    best = pareto({n: (_sign(question) * mean_of(values[n]), costs[n]) for n in each if complete[n]})
    gap = gap_of(rows, values) if question.is_accuracy else math.nan
    for name, group in each.items():
        if question.shown is None or name in question.shown:
            seeds = [seed for seed in values[name] if seed in base]
            is_reference = name == question.reference
            about = {
                **place, "regime": group["regime"].iloc[0], "method": name[0], "variant": name[1],
                "metric": question.metric, "smaller": question.smaller, "planned": len(group),
                "complete": complete[name], "mean": mean_of(values[name]), "reference": is_reference,
                "seeds": seeds_text(seeds), "n": len(seeds), "correlation": _correlation(values[name], base),
                "cost_seconds": costs[name], "cost_ratio": costs[name] / costs[question.reference],
                "pareto": name in best, "gap_share": _gap_share(values, name, gap),
            }  # fmt: skip
            gains = {} if is_reference else {seed: values[name][seed] - base[seed] for seed in seeds}
            yield Contrasted(about, {seed: _sign(question) * gain for seed, gain in gains.items()})


def values_of(rows: pd.DataFrame, column: str) -> BySeed:
    """Of one competitor's ok cells."""
    found = measurements(rows, column)
    return dict(zip(found.index.tolist(), found.tolist(), strict=True))


def mean_of(values: BySeed) -> float:
    """To the last bit that of `estimate`: a table may not round it otherwise than another. NaN of nothing."""
    return estimate([*values.values()]).mean


def _correlation(ours: BySeed, base: BySeed) -> float:
    """Between runs of the same seed; NaN of the reference with itself."""
    seeds = [seed for seed in ours if seed in base]
    return math.nan if ours is base else correlation([ours[s] for s in seeds], [base[s] for s in seeds])


def _sign(question: Question) -> int:
    return -1 if question.smaller else 1


def judged(family: Sequence[Sequence[float]], equal_within: float) -> list[dict[str, Any]]:
    """Gains, p-values and verdicts of differences that are corrected together by Holm's method, in their order.

    A difference is one where Student's p, corrected, is at most 0.05; two are practically equal where that of the two
    one-sided tests is, corrected likewise, and this comes first. So each of both kinds of verdict is false anywhere in
    at most 5 % of families.
    """
    gains = [estimate(each) for each in family]
    exact, student = sign_flip_ps(family), [t_p(each) for each in family]
    equal = [equal_p(gain, equal_within) for gain in gains]
    tests = sum(not math.isnan(p) for p in student)
    corrected = zip(holm(exact), holm(student), holm(equal), strict=True)
    found: list[dict[str, Any]] = []
    for i, (p_holm, t_p_holm, equal_p_holm) in enumerate(corrected):
        gain = gains[i]
        word = _verdict(gain, t_p_holm, equal_p_holm)
        found.append({
            "gain": gain.mean, "sd": gain.sd, "ci_low": gain.ci_low, "ci_high": gain.ci_high,
            "p": exact[i], "p_holm": p_holm, "t_p": student[i], "t_p_holm": t_p_holm, "equal_within": equal_within,
            "equal_p": equal[i], "equal_p_holm": equal_p_holm, "verdict": word.value,
            "tests": None if math.isnan(student[i]) else tests,
            "seeds_needed": _more(gain, equal_within, tests) if word is Verdict.UNDECIDED else None,
        })  # fmt: skip
    return found


def _verdict(gain: Estimate, t_p_holm: float, equal_p_holm: float) -> Verdict:
    """Differences that are all the same have no spread that tells them from nothing."""
    if gain.n == 0:
        return Verdict.NONE
    if equal_p_holm <= 1 - CONFIDENCE:
        return Verdict.EQUAL
    if gain.n < LEAST_FOR_INTERVAL or gain.sd < ROUNDING or not t_p_holm <= 1 - CONFIDENCE:
        return Verdict.UNDECIDED
    return Verdict.BETTER if gain.mean > 0 else Verdict.WORSE


def _more(gain: Estimate, equal_within: float, tests: int) -> int | None:
    """About how many more seeds it would take, if all tests of the family were rejected at Holm's first step."""
    level = (1 - CONFIDENCE) / max(tests, 1)
    return seeds_needed(gain, equal_within, tests, equal_level=1 - 2 * level, same_level=level)


# -- what it costs, and what it is a share of --------------------------------------------------------------------------


def cost_of(rows: pd.DataFrame) -> float:
    """Mean seconds that it takes to have such a student, its pair's teachers given; NaN where a part is not known."""
    costs = rows.loc[rows["status"].to_numpy() == "ok", list(COST)].to_numpy(dtype=float)
    return float(costs.sum(axis=1).mean()) if len(costs) else math.nan


def pareto(points: Mapping[Competitor, tuple[float, float]]) -> frozenset[Competitor]:
    """Those that no other beats: as good at less cost, or better at as little. points: quality and cost."""
    known = {name: point for name, point in points.items() if not any(map(math.isnan, point))}
    return frozenset(name for name, point in known.items() if not any(_beats(o, point) for o in known.values()))


def _beats(other: tuple[float, float], point: tuple[float, float]) -> bool:
    return other[0] >= point[0] and other[1] <= point[1] and other != point


def gap_of(rows: pd.DataFrame, values: Mapping[Competitor, BySeed]) -> float:
    """By how many points a setting's teachers are better than the plain student; NaN for less than one, or where one of
    them is not known.
    """
    gap = float(rows.loc[rows["status"] == "ok", "teacher_top1"].mean()) - mean_of(values.get(PLAIN, {}))
    return gap if gap >= LEAST_GAP_POINTS else math.nan


def _gap_share(values: Mapping[Competitor, BySeed], name: Competitor, gap: float) -> float:
    plain = values.get(PLAIN, {})
    gains = {seed: value - plain[seed] for seed, value in values[name].items() if seed in plain}
    return math.nan if name == PLAIN else mean_of(gains) / gap
