"""Do the papers' claims hold here? Each claim as a difference paired by seed, with an answer in plain words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from enum import StrEnum
from typing import Any

import pandas as pd

from kdharness.protocol.claim import Claim
from kdharness.stats.paired import Verdict, seeds_needed, verdict
from kdharness.stats.settings import SETTING, comparable, deviations_of
from kdharness.stats.significance import sign_flip_p, t_p
from kdharness.stats.summary import Estimate, estimate, measurements
from kdharness.text import seeds_text

CLAIM_COLUMNS = (
    *SETTING, "deviations", "claim", "paper", "better", "predictor", "metric", "than", "than_predictor", "than_metric",
    "smaller", "at_least", "n", "seeds", "difference", "sd", "ci_low", "ci_high", "p", "answer", "seeds_needed",
    "reason",
)  # fmt: skip

# Columns that a claim may be about.
PLACES = ("dataset", "scenario", "recipe")
# Counted, not sampled: the same for every seed, so that one is enough.
COUNTED = ("macs", "parameters")


class Answer(StrEnum):
    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    UNMEASURED = "not measured"


class Unmeasured(Exception):
    """Why a claim has no answer; a sentence."""


def judge(claims: Sequence[Claim], frame: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """One row per claim and setting that has both its competitors (one without setting where none has); CLAIM_COLUMNS.

    frame, metrics: of `table` and `metrics_table`. difference: by how much `better` is better, whichever way is better;
    its interval is Student's over seeds, p the exact sign-flip test's of its being `at_least`. Each claim by itself:
    nothing is corrected for their number.
    """
    rows = comparable(frame)[0]
    found = [row for claim in claims for row in _rows(claim, rows, metrics)]
    table = pd.DataFrame(found, columns=list(CLAIM_COLUMNS))
    return table.astype({"n": int, "seeds_needed": "Int64"})


def _rows(claim: Claim, rows: pd.DataFrame, metrics: pd.DataFrame) -> list[dict[Hashable, Any]]:
    about: dict[Hashable, Any] = {
        "claim": claim.text, "paper": claim.paper, "better": claim.better, "predictor": claim.predictor or "",
        "metric": claim.metric, "than": claim.than, "than_predictor": claim.than_predictor or "",
        "than_metric": claim.than_metric or claim.metric, "smaller": bool(claim.smaller), "at_least": claim.at_least,
    }  # fmt: skip
    empty: dict[Hashable, Any] = dict.fromkeys([*SETTING, "deviations", "seeds", "reason"], "")
    found = []
    try:
        for names, ours, theirs in _settings(claim, rows):
            place: dict[Hashable, Any] = dict(zip(SETTING, names, strict=True))
            answer = _answer(claim, ours, theirs, metrics)
            found.append({**empty, **place, "deviations": deviations_of(ours), **about, **answer})
    except Unmeasured as error:
        return [{**empty, **about, **_unmeasured(str(error))}]
    return sorted(found, key=lambda row: bool(row["deviations"]))


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


def _answer(claim: Claim, ours: pd.DataFrame, theirs: pd.DataFrame, metrics: pd.DataFrame) -> dict[Hashable, Any]:
    try:
        a = _values(claim.better, ours, claim.metric, claim.predictor, metrics)
        b = _values(claim.than, theirs, claim.than_metric or claim.metric, claim.than_predictor, metrics)
        both = pd.concat([a, b], axis=1, join="inner", keys=["a", "b"])
        if both.empty:
            raise Unmeasured("they have no seed in common")
    except Unmeasured as error:
        return _unmeasured(str(error))
    sign = -1 if claim.smaller else 1
    differences = [float(d) for d in sign * (both["a"] - both["b"])]
    result = estimate(differences)
    beyond = [d - claim.at_least for d in differences]
    answer, reason = _decide(claim, beyond)
    more = seeds_needed(estimate(beyond), claim.equal_within or 0.0) if answer is Answer.UNDECIDED else None
    return {
        "n": result.n, "seeds": seeds_text(both.index), "difference": result.mean, "sd": result.sd,
        "ci_low": result.ci_low, "ci_high": result.ci_high, "p": sign_flip_p(beyond), "answer": answer.value,
        "seeds_needed": more, "reason": reason,
    }  # fmt: skip


def _decide(claim: Claim, beyond: Sequence[float]) -> tuple[Answer, str]:
    """beyond: the differences less what they must exceed."""
    margin = estimate(beyond)
    counted = claim.metric.endswith(COUNTED)
    if counted and math.isclose(max(beyond), min(beyond)):
        return (Answer.HOLDS if margin.mean > 0 else Answer.FAILS), "counted, the same for every seed"
    band = claim.equal_within or 0.0
    word = verdict(margin, t_p(beyond), band)
    if word is Verdict.EQUAL:
        return Answer.FAILS, f"practically equal: the difference is within ± {band:g}"
    answers = {Verdict.BETTER: Answer.HOLDS, Verdict.WORSE: Answer.FAILS}
    return answers.get(word, Answer.UNDECIDED), ""


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


def _unmeasured(reason: str) -> dict[Hashable, Any]:
    nothing: Estimate = estimate([])
    return {
        "n": 0, "seeds": "", "difference": nothing.mean, "sd": nothing.sd, "ci_low": nothing.ci_low,
        "ci_high": nothing.ci_high, "p": math.nan, "answer": Answer.UNMEASURED.value, "seeds_needed": None,
        "reason": reason,
    }  # fmt: skip
