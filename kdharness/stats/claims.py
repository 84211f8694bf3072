"""Do the papers' claims hold here? Each claim as a difference paired by seed, with an answer in plain words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdharness.protocol.claim import Claim
from kdharness.stats.answers import Answer, Answered, Compared, answered
from kdharness.stats.images import image_variance, variance_of
from kdharness.stats.settings import SETTING, comparable, deviations_of, teachers_behind
from kdharness.stats.summary import measurements
from kdharness.text import seeds_text

CLAIM_COLUMNS = (
    *SETTING, "deviations", "claim", "paper", "better", "predictor", "metric", "than", "than_predictor", "than_metric",
    "smaller", "at_least", "n", "seeds", "teachers", "difference", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p_holm",
    "tests", "answer", "seeds_needed", "reason",
)  # fmt: skip

# Columns that a claim may be about.
PLACES = ("dataset", "scenario", "recipe")
# Counted, not sampled: the same for every seed, so that one is enough.
COUNTED = ("macs", "parameters")


class Unmeasured(Exception):
    """Why a claim has no answer; a sentence."""


@dataclass(frozen=True)
class _Row:
    """A claim in one setting before it has an answer.

    known: what the table says of it already.
    compared: None where nothing was measured.
    """

    known: dict[Hashable, Any]
    compared: Compared | None = None


def judge(claims: Sequence[Claim], frame: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and setting that has both its competitors (one without setting where none has); CLAIM_COLUMNS.

    frame, metrics: of `table` and `metrics_table`, of one benchmark. difference: by how much `better` is better,
    whichever way is better; its interval is Student's over seeds. Answers are corrected together for all rows that are
    answered by a test, each track's by themselves; what deviates from the benchmark, for those that deviate as it does.
    """
    rows = comparable(frame)[0]
    found = [row for claim in claims for row in _rows(claim, rows, metrics)]
    table = pd.DataFrame(_with_answers(found), columns=list(CLAIM_COLUMNS))
    return table.astype({"n": int, "teachers": int, "tests": "Int64", "seeds_needed": "Int64"})


def _with_answers(rows: Sequence[_Row]) -> list[dict[Hashable, Any]]:
    """The rows complete, in their order."""
    families: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        if row.compared is not None:
            families.setdefault((row.known["deviations"], row.known["track"]), []).append(index)
    found = [row.known for row in rows]
    for family in families.values():
        compared = [each for index in family if (each := rows[index].compared) is not None]
        for index, each, answer in zip(family, compared, answered(compared), strict=True):
            reason = _reason(each, answer, found[index])
            found[index] = {**found[index], **_numbers(each, answer), "reason": reason}
    return found


def _numbers(compared: Compared, answer: Answered) -> dict[Hashable, Any]:
    result = compared.difference
    return {
        "n": result.n, "difference": result.mean, "sd": result.sd, "ci_low": result.ci_low, "ci_high": result.ci_high,
        "p": compared.p, "p_holm": answer.p_holm, "t_p_holm": answer.t_p_holm, "tests": answer.tests,
        "answer": answer.answer.value, "seeds_needed": answer.seeds_needed,
    }  # fmt: skip


def _reason(compared: Compared, answer: Answered, known: dict[Hashable, Any]) -> str:
    """What must be known of the answer, of one teacher too: its numbers are no sample of teachers'."""
    of_teacher = any(str(known[name]).startswith("teacher_") for name in ("metric", "than_metric"))
    one = "of this one teacher: how teachers differ is not in it" if of_teacher and known["teachers"] == 1 else ""
    images = "the interval holds the sampling of images" if compared.image_variance else ""
    return "; ".join(filter(None, (answer.reason, one, images)))


def _rows(claim: Claim, rows: pd.DataFrame, metrics: pd.DataFrame) -> list[_Row]:
    about: dict[Hashable, Any] = {
        "claim": claim.text, "paper": claim.paper, "better": claim.better, "predictor": claim.predictor or "",
        "metric": claim.metric, "than": claim.than, "than_predictor": claim.than_predictor or "",
        "than_metric": claim.than_metric or claim.metric, "smaller": bool(claim.smaller), "at_least": claim.at_least,
    }  # fmt: skip
    nothing: dict[Hashable, Any] = dict.fromkeys([*SETTING, "deviations", "seeds", "reason"], "")
    empty = {**nothing, **about}
    found = []
    try:
        for names, ours, theirs in _settings(claim, rows):
            place: dict[Hashable, Any] = dict(zip(SETTING, names, strict=True))
            place = {**empty, **place, "deviations": deviations_of(ours)}
            found.append(_row(claim, place, ours, theirs, metrics))
    except Unmeasured as error:
        return [_unmeasured(empty, str(error))]
    return sorted(found, key=lambda row: bool(row.known["deviations"]))


Pairing = tuple[tuple[Hashable, ...], pd.DataFrame, pd.DataFrame]


def _settings(claim: Claim, rows: pd.DataFrame) -> list[Pairing]:
    """The settings that the claim is about and that have both competitors, with the rows of each."""
    for name in (claim.better, claim.than):
        if _of(name, rows).empty:
            raise Unmeasured(f"{name} was not planned")
    for column in PLACES:
        wanted = getattr(claim, column)
        if wanted is not None:
            rows = rows[rows[column] == wanted]
    if claim.pair is not None:
        rows = rows[rows["teacher"] + ":" + rows["student"] == claim.pair]
    found = [
        (names, _of(claim.better, setting), _of(claim.than, setting)) for names, setting in rows.groupby(list(SETTING))
    ]
    both = [pairing for pairing in found if len(pairing[1]) and len(pairing[2])]
    if not both:
        where = [f"{column} {value}" for column in (*PLACES, "pair") if (value := getattr(claim, column))]
        raise Unmeasured(f"no setting{' of ' if where else ''}{', '.join(where)} has both")
    return both


def _of(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    method, _, variant = name.removesuffix("]").partition("[")
    return rows[(rows["method"] == method) & (rows["variant"] == variant)]


def _row(
    claim: Claim, place: dict[Hashable, Any], ours: pd.DataFrame, theirs: pd.DataFrame, metrics: pd.DataFrame
) -> _Row:
    sides = (
        (claim.better, ours, claim.metric, claim.predictor),
        (claim.than, theirs, claim.than_metric or claim.metric, claim.than_predictor),
    )
    try:
        a, b = (_values(*side, metrics) for side in sides)
        seeds = a.index.intersection(b.index)
        if seeds.empty:
            raise Unmeasured("they have no seed in common")
    except Unmeasured as error:
        return _unmeasured(place, str(error))
    differences = (-1 if claim.smaller else 1) * (a[seeds] - b[seeds])
    compared = Compared(
        tuple(map(float, differences)),
        claim.at_least,
        claim.equal_within or 0.0,
        _of_images(sides, seeds, metrics, str(place["seeding"])),
        claim.metric.endswith(COUNTED),
    )
    behind = pd.concat([rows[(rows["status"] == "ok") & rows["seed"].isin(seeds)] for rows in (ours, theirs)])
    return _Row({**place, "seeds": seeds_text(seeds), "teachers": len(teachers_behind(behind))}, compared)


Side = tuple[str, pd.DataFrame, str, str | None]


def _of_images(sides: Sequence[Side], seeds: pd.Index[int], metrics: pd.DataFrame, seeding: str) -> float:
    """What the sampling of images adds to the variance of the mean difference, of metrics that bring an interval of
    their own; 0 for others. Both sides see the same images, so that the sum of both is the most it can be.
    """
    variances = []
    for name, rows, metric, predictor in sides:
        try:
            low, high = (_values(name, rows, f"{metric}_{end}", predictor, metrics) for end in ("low", "high"))
        except Unmeasured:
            continue
        both = seeds.intersection(low.index).intersection(high.index)
        variances.append([variance_of(low[seed], high[seed]) for seed in both])
    return sum(image_variance(each, seeding) for each in variances)


def _values(
    name: str, rows: pd.DataFrame, metric: str, predictor: str | None, metrics: pd.DataFrame
) -> pd.Series[float]:
    """The values of the competitor's ok cells, by seed. Unmeasured where there is none."""
    if not (rows["status"] == "ok").any():
        raise Unmeasured(f"{name}: {_fates(rows)}")
    found = measurements(rows.assign(_value=_column(rows, metric, predictor, metrics)), "_value")
    if found.empty:
        of = f" of its output '{predictor}'" if predictor else ""
        raise Unmeasured(f"{name} has no {metric}{of}")
    return found


def _column(rows: pd.DataFrame, metric: str, predictor: str | None, metrics: pd.DataFrame) -> pd.Series[float]:
    if predictor is None:
        name = metric if metric in rows else f"x_{metric}"
        return pd.to_numeric(rows[name], errors="coerce") if name in rows else pd.Series(math.nan, index=rows.index)
    wanted = metrics[(metrics["predictor"] == predictor) & (metrics["metric"] == metric)]
    # Where a metric was taken on several splits, that of the test split counts.
    ordered = wanted.assign(_test=wanted["split"] == "test").sort_values("_test", kind="stable")
    return rows["cell"].map(ordered.drop_duplicates("cell", keep="last").set_index("cell")["value"])


def _fates(rows: pd.DataFrame) -> str:
    """'3 failed (loss became nan), 2 not run'."""
    parts = []
    for (status, message), group in rows.groupby(["status", "error_message"]):
        why = f" ({message})" if message else ""
        parts.append(f"{len(group)} {str(status).replace('_', ' ')}{why}")
    return ", ".join(parts)


def _unmeasured(known: dict[Hashable, Any], reason: str) -> _Row:
    numbers: dict[Hashable, Any] = dict.fromkeys(
        ("difference", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p_holm"), math.nan
    )
    return _Row({**known, **numbers, "n": 0, "teachers": 0, "answer": Answer.UNMEASURED.value, "reason": reason})
