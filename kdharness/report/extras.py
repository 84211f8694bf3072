"""The tables that some reports have beside the rankings: claims, what a method's parts do, what its outputs cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kdharness.report.claims import in_words
from kdharness.report.columns import COST, MEMORY, Column, Grid, with_error
from kdharness.report.exits import ExitsView
from kdharness.report.privacy import Exposure, PrivacyView
from kdharness.stats.settings import SETTING, place_of
from kdharness.stats.summary import LEAST_FOR_INTERVAL

CLAIMS_TITLE = "Do the papers' claims hold here?"
CLAIMS_WORDS = (
    "differences paired by seed in the direction of the claim, ± half a 95 % interval "
    f"(none below {LEAST_FOR_INTERVAL} seeds); p of the exact sign-flip test; each claim by itself, none corrected for"
)
EFFECTS_WORDS = (
    "whole - this: top-1 of the whole method less that of the row, paired by seed, ± half a 95 % interval "
    f"(none below {LEAST_FOR_INTERVAL} seeds); words by Student's test with Holm's correction"
)


PRIVACY_WORDS = (
    "epsilon: privacy budget spent on the private images, at the delta beside it; none: nothing is claimed; infinite: "
    "the mechanism protects nothing, whatever its noise. Leak: by how much better than chance a threshold on the loss "
    "tells private images from test images, in points, ± standard deviation over seeds"
)


def claims_grid(judged: pd.DataFrame) -> Grid:
    """The claims that were measured, one row per setting."""
    rows = _rows(judged[judged["n"] > 0])
    several = len({_where(row) for row in rows}) > 1 or any(row["deviations"] for row in rows)
    found = [
        Column("answer", tuple(in_words(row["answer"], row["seeds_needed"]) for row in rows), words=True),
        Column("claim", tuple(_claim(row) for row in rows), name=True),
        Column("compared", tuple(_compared(row) for row in rows), name=True),
    ]
    if several:
        found.append(Column("where", tuple(_where(row) for row in rows), name=True))
    found += [
        Column("difference", tuple(_difference(row) for row in rows)),
        Column("n", tuple(str(row["n"]) for row in rows)),
        Column("p", tuple(p_text(row["p"]) for row in rows), dropped=COST),
    ]
    return Grid(tuple(found))


def effects_grid(effects: pd.DataFrame) -> Grid:
    """Of one method in one setting."""
    rows = _rows(effects)
    half = (effects["ci_high"] - effects["ci_low"]) / 2
    words = tuple(in_words(row["effect_in_words"], row["seeds_needed"]) for row in rows)
    return Grid(
        (
            Column("", tuple(row["part"] for row in rows), name=True),
            Column("top-1 ±sd", with_error(effects["top1_mean"], effects["top1_sd"])),
            Column("whole - this", with_error(effects["effect"], half, "+")),
            Column("n", tuple(str(row["n"]) for row in rows)),
            Column("p", tuple(p_text(row["p"]) for row in rows), dropped=COST),
            Column("the part", words, words=True),
        )
    )


def exits_grid(view: ExitsView) -> Grid:
    exits = view.exits
    found = [
        Column("output", tuple(each.name for each in exits), name=True),
        Column("top-1 ±sd", with_error([e.top1.mean for e in exits], [e.top1.sd for e in exits])),
        Column("n", tuple(str(each.top1.n) for each in exits)),
        Column("operations", tuple(count_text(each.macs) for each in exits)),
        Column("saving", tuple(f"{each.saving:.2f}x" for each in exits)),
    ]
    if any(not math.isnan(each.latency_seconds) for each in exits):
        found.append(Column("ms/image", tuple(f"{each.latency_seconds * 1000:.3g}" for each in exits), dropped=COST))
    if any(not math.isnan(each.parameters) for each in exits):
        found.append(Column("parameters", tuple(count_text(each.parameters) for each in exits), dropped=MEMORY))
    return Grid(tuple(found))


def privacy_grid(view: PrivacyView) -> Grid:
    rows = view.rows
    leaks = [(e.student_leak, e.teacher_leak) for e in rows]
    return Grid(
        (
            Column("method", tuple(e.name for e in rows), name=True),
            Column("top-1 ±sd", with_error([e.top1.mean for e in rows], [e.top1.sd for e in rows])),
            Column("epsilon", tuple(_epsilon(e) for e in rows)),
            Column(
                "delta", tuple("" if math.isnan(e.delta) or math.isnan(e.epsilon) else f"{e.delta:.0e}" for e in rows)
            ),
            Column("releases", tuple("" if math.isnan(e.releases) else f"{e.releases:.0f}" for e in rows), dropped=1),
            Column("leak", with_error([s.mean for s, _ in leaks], [s.sd for s, _ in leaks], "+")),
            Column("teacher's", with_error([t.mean for _, t in leaks], [t.sd for _, t in leaks], "+"), dropped=2),
        )
    )


def _epsilon(exposure: Exposure) -> str:
    if exposure.infinite:
        return "infinite"
    return "none" if math.isnan(exposure.epsilon) else f"{exposure.epsilon:.4g}"


def p_text(p: float) -> str:
    """'0.062', '<0.001', or nothing."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def count_text(number: float) -> str:
    """'560 M'."""
    if math.isnan(number):
        return ""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"


def by_setting(effects: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """(title, deviations, rows) of each method and setting."""
    found = []
    for _, rows in effects.groupby(["method", *SETTING], sort=False):
        first = _rows(rows)[0]
        found.append((f"what the parts of {first['method']} do · {place_of(first)}", first["deviations"], rows))
    return found


def _claim(row: Mapping[str, Any]) -> str:
    return f"{row['claim']} ({row['paper']})" if row["paper"] else str(row["claim"])


def _compared(row: Mapping[str, Any]) -> str:
    ours, theirs = (
        f"{row[name]}:{row[of]}" if row[of] else str(row[name])
        for name, of in (("better", "predictor"), ("than", "than_predictor"))
    )
    metric = row["metric"] if row["metric"] == row["than_metric"] else f"{row['metric']} vs {row['than_metric']}"
    words = [f"{ours} vs {theirs}"]
    if metric != "top1":
        words.append(f"{metric}{', less is better' if row['smaller'] else ''}")
    if row["at_least"]:
        words.append(f"by over {row['at_least']:g}")
    return ", ".join(words)


def _where(row: Mapping[str, Any]) -> str:
    pair = f"{row['teacher']}:{row['student']}" if row["teacher"] else str(row["student"])
    scenario = "" if row["scenario"] == "clean" else row["scenario"]
    words = " ".join(str(part) for part in (row["dataset"], scenario, pair) if part)
    return f"{words} (deviates: {row['deviations']})" if row["deviations"] else words


def _difference(row: Mapping[str, Any]) -> str:
    half = (row["ci_high"] - row["ci_low"]) / 2
    digits = ".2f" if abs(row["difference"]) >= 1 or "top" in row["metric"] else ".3g"
    return f"{row['difference']:+{digits}}" + ("" if math.isnan(half) else f" ±{half:{digits}}")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
