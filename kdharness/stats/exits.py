"""Methods with several outputs, such as early exits: what each is worth and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from kdharness.stats.settings import COMPETITOR, SETTING, comparable, competitor_of, deviations_of, names_of
from kdharness.stats.summary import Estimate, estimate

NUMBERS = ("top1", "macs", "latency_seconds", "parameters")


@dataclass(frozen=True)
class Exit:
    """One output over the seeds. top1: percent; macs: for one image; saving: the plain student's macs over them."""

    name: str
    top1: Estimate
    macs: float
    saving: float
    latency_seconds: float
    parameters: float


@dataclass(frozen=True)
class MethodExits:
    """The outputs of one method in one setting, in the order of their macs.

    names: the setting's columns. method: with its variant.
    plain: top-1 and macs of the student trained on labels alone, None where it was not trained.
    """

    names: Mapping[str, str]
    method: str
    deviations: str
    exits: tuple[Exit, ...]
    plain: tuple[Estimate, float] | None


def exits_of(frame: pd.DataFrame, metrics: pd.DataFrame) -> tuple[MethodExits, ...]:
    """One for each competitor with two or more outputs whose top-1 and macs are known.

    What follows its benchmark comes first. A variant is left out where the plain method is there: an ablation would
    fill pages, and metrics.csv has all of them.
    """
    usual = metrics[(metrics["split"] == "test") & metrics["metric"].isin(NUMBERS)]
    wide = usual.pivot_table(index=["cell", "predictor"], columns="metric", values="value")
    if not {"top1", "macs"} <= set(wide):
        return ()
    wide = wide.dropna(subset=["top1", "macs"]).add_prefix("output_").reset_index()
    rows = comparable(frame)[0]
    rows = rows[rows["status"] == "ok"]
    measured = set(wide["cell"])
    found = []
    for key, setting in rows.groupby(list(SETTING)):
        plain = _plain(setting)
        plain_methods = set(setting.loc[setting["variant"] == "", "method"])
        for (method, variant), cells in setting.groupby(list(COMPETITOR)):
            if (variant and method in plain_methods) or measured.isdisjoint(cells["cell"]):
                continue
            outputs = cells.merge(wide, on="cell")
            if outputs["predictor"].nunique() > 1:
                name = competitor_of({"method": method, "variant": variant})
                found.append(_exits(names_of(key), name, outputs, plain))
    return tuple(sorted(found, key=lambda exits: bool(exits.deviations)))


def _plain(setting: pd.DataFrame) -> tuple[Estimate, float] | None:
    plain = setting[(setting["method"] == "vanilla") & (setting["variant"] == "")]
    rows = plain[plain["student_macs"].notna() & plain["top1"].notna()]
    return (estimate(rows["top1"].to_list()), float(rows["student_macs"].iloc[0])) if len(rows) else None


def _exits(
    names: Mapping[str, str], method: str, outputs: pd.DataFrame, plain: tuple[Estimate, float] | None
) -> MethodExits:
    base = plain[1] if plain else float(outputs["student_macs"].astype(float).max())
    exits = [_exit(str(name), group, base) for name, group in outputs.groupby("predictor")]
    return MethodExits(
        names=names,
        method=method,
        deviations=deviations_of(outputs),
        exits=tuple(sorted(exits, key=lambda each: (each.macs, each.name))),
        plain=plain,
    )


def _exit(name: str, group: pd.DataFrame, base: float) -> Exit:
    macs = float(group["output_macs"].mean())
    return Exit(
        name=name,
        top1=estimate(group["output_top1"].to_list()),
        macs=macs,
        saving=base / macs if macs else math.nan,
        latency_seconds=_median(group, "latency_seconds"),
        parameters=_median(group, "parameters"),
    )


def _median(group: pd.DataFrame, name: str) -> float:
    column = f"output_{name}"
    return float(group[column].median()) if column in group else math.nan
