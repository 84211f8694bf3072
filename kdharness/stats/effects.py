"""What each part of a method does: the whole of it against what it is without the part, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kdharness.planning.plan import Plan
from kdharness.stats.paired import Verdict, paired
from kdharness.stats.settings import SETTING, as_dicts, comparable, deviations_of
from kdharness.stats.summary import summarise

EFFECT_COLUMNS = (
    *SETTING, "deviations", "method", "part", "planned", "n", "seeds", "top1_mean", "top1_sd", "effect", "ci_low",
    "ci_high", "p", "p_holm", "t_p_holm", "comparisons", "effect_in_words",
    "seeds_needed", "reason",
)  # fmt: skip

WORDS = {Verdict.EQUAL: "makes no difference", Verdict.UNDECIDED: "undecided", Verdict.NONE: "not measured"}
# Of a row without some loss term, and of any other: the row is better, the row is worse.
OF_TERM = {Verdict.BETTER: "hurts", Verdict.WORSE: "helps"}
OF_OTHER = {Verdict.BETTER: "whole is worse", Verdict.WORSE: "whole is better"}


def effects_of(plans: Sequence[Plan], frame: pd.DataFrame) -> pd.DataFrame:
    """Of every method that some plan takes apart (its newest such plan counts), one row per part and setting.

    effect: the whole method's top-1 less that of the row, in points, over the seeds that both have; so it says what the
    part is worth. Holm corrects over the parts of a setting. The whole method's row has none, nor has what is the same
    as the whole. Settings without the whole are left out. Largest first.
    """
    newest = {plan.ablated: plan for plan in plans if plan.ablated}
    parts = [_effects(method, plan.parts, _of_plan(plan, frame)) for method, plan in newest.items()]
    found = [part for part in parts if len(part)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(EFFECT_COLUMNS))


def _of_plan(plan: Plan, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the plan asked for: other plans may have its cells in another track."""
    places = [(planned.cell.key, track) for planned in plan.cells for track in planned.cell.standings]
    return frame[pd.MultiIndex.from_frame(frame[["cell", "track"]]).isin(places)]


def _effects(method: str, parts: Mapping[str, tuple[str, ...]], frame: pd.DataFrame) -> pd.DataFrame:
    rows = _rows(method, parts, frame)
    if rows.empty:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    effects = _measured(method, rows)
    effects = pd.concat([effects, _same(effects, rows, parts, method)], ignore_index=True)
    ordered = effects.assign(_whole=effects["part"] != method).sort_values(
        [*SETTING, "_whole", "effect", "part"], ascending=[*[True] * len(SETTING), True, False, True]
    )
    return ordered[list(EFFECT_COLUMNS)].reset_index(drop=True)


def _rows(method: str, parts: Mapping[str, tuple[str, ...]], frame: pd.DataFrame) -> pd.DataFrame:
    """The cells of the parts, in settings that have the whole: each part is a competitor, whatever makes it."""
    rows = frame[frame["cell"].isin(parts)].copy()
    rows["method"], rows["variant"], rows["regime"] = rows["cell"].map({k: v[0] for k, v in parts.items()}), "", ""
    rows = comparable(rows)[0]
    return rows.merge(rows.loc[rows["method"] == method, list(SETTING)].drop_duplicates(), on=list(SETTING))


def _measured(method: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The whole and each of its parts, with the seeds of the comparison; of the whole, its own."""
    key = [*SETTING, "method"]
    means = summarise(rows).rename(columns={"mean": "top1_mean", "sd": "top1_sd"}).drop(columns=["ci_low", "ci_high"])
    gains = paired(rows, method).drop(columns=["variant", "sd"])
    found = means.drop(columns=["n", "seeds"]).merge(gains, on=key, how="left")
    swapped = {"effect": 0.0 - found["gain"].round(9), "ci_low": -found["ci_high"], "ci_high": -found["ci_low"]}
    found = found.assign(part=found["method"], method=method, **swapped)
    found["n"] = found["n"].fillna(0).astype(int)
    found["seeds"] = found["seeds"].fillna("")
    cells = dict(iter(rows.groupby(key)))
    about = [_about(row, cells[tuple(row[name] for name in (*SETTING, "part"))]) for row in as_dicts(found)]
    for name in ("effect_in_words", "deviations", "reason"):
        found[name] = [each[name] for each in about]
    whole = found["part"] == method
    found.loc[whole, ["n", "seeds"]] = means.loc[means["method"] == method, ["n", "seeds"]].to_numpy()
    return found


def _same(merged: pd.DataFrame, rows: pd.DataFrame, parts: Mapping[str, tuple[str, ...]], method: str) -> pd.DataFrame:
    """A row for each further part that a cell stands for: with these parameters, it is the same as another part."""
    at = [*SETTING, "part"]
    others = rows["cell"].map({key: each[1:] for key, each in parts.items()})
    further = rows.rename(columns={"method": "part"})[at].assign(same=others)
    further = further.explode("same").dropna(subset="same").drop_duplicates()
    copies = merged.merge(further, on=at)
    copies["effect_in_words"] = ("same as " + copies["part"]).where(copies["part"] != method, "the same as the whole")
    copies["reason"] = ""
    return copies.assign(part=copies["same"])[merged.columns]


def _about(row: Mapping[str, Any], cells: pd.DataFrame) -> dict[str, str]:
    """What is said of one part: the effect in words, how its runs deviate, why it was not measured."""
    specific = OF_TERM if row["part"].startswith(f"{row['method']} without ") else OF_OTHER
    words = "" if row["part"] == row["method"] else {**WORDS, **specific}[Verdict(row["verdict"] if row["n"] else "")]
    failed = cells[cells["status"] != "ok"]
    reasons = dict.fromkeys(failed["error_message"].where(failed["error_message"] != "", failed["status"]))
    return {
        "effect_in_words": words,
        "deviations": deviations_of(cells),
        "reason": "; ".join(str(reason).replace("_", " ") for reason in reasons) if words == "not measured" else "",
    }
