"""Methods with several outputs, such as early exits: what each is worth and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from kdharness.stats.settings import COMPETITOR, SETTING, comparable, place_of
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
class ExitsView:
    """The outputs of one method in one setting, in the order of their macs.

    plain: top-1 and macs of the student trained on labels alone, None where it was not trained.
    """

    names: Mapping[str, str]
    method: str
    deviations: str
    exits: tuple[Exit, ...]
    plain: tuple[Estimate, float] | None

    @property
    def title(self) -> str:
        return f"{place_of(self.names)} · outputs of {self.method}"

    @property
    def below(self) -> tuple[str, ...]:
        if self.plain is None:
            return ("saving: operations of the main output over those of this one",)
        top1, _ = self.plain
        return (f"saving: operations of the plain student ({top1.mean:.2f} %) over those of this output",)


def exits_of(frame: pd.DataFrame, metrics: pd.DataFrame) -> tuple[ExitsView, ...]:
    """Of every competitor with two or more outputs whose top-1 and macs are both known, what follows its benchmark
    first. Variants only where the plain method is absent: an ablation would fill pages, and metrics.csv has them all.
    """
    usual = metrics[(metrics["split"] == "test") & metrics["metric"].isin(NUMBERS)]
    wide = usual.pivot_table(index=["cell", "predictor"], columns="metric", values="value")
    if not {"top1", "macs"} <= set(wide):
        return ()
    wide = wide.dropna(subset=["top1", "macs"]).add_prefix("output_").reset_index()
    rows = comparable(frame)[0]
    rows = rows[rows["status"] == "ok"]
    views = []
    for names, setting in rows.groupby(list(SETTING)):
        place = {name: str(value) for name, value in zip(SETTING, names, strict=True)}
        plain = _plain(setting)
        plain_methods = set(setting.loc[setting["variant"] == "", "method"])
        for (method, variant), cells in setting.groupby(list(COMPETITOR)):
            if variant and method in plain_methods:
                continue
            outputs = cells.merge(wide, on="cell")
            if outputs["predictor"].nunique() > 1:
                views.append(_view(place, f"{method}[{variant}]" if variant else str(method), outputs, plain))
    return tuple(sorted(views, key=lambda view: bool(view.deviations)))


def _plain(setting: pd.DataFrame) -> tuple[Estimate, float] | None:
    rows = setting[(setting["method"] == "vanilla") & (setting["variant"] == "") & setting["student_macs"].notna()]
    return (estimate(rows["top1"].dropna().to_list()), float(rows["student_macs"].iloc[0])) if len(rows) else None


def _view(
    names: Mapping[str, str], method: str, outputs: pd.DataFrame, plain: tuple[Estimate, float] | None
) -> ExitsView:
    base = plain[1] if plain else float(outputs["student_macs"].astype(float).max())
    exits = [_exit(str(name), group, base) for name, group in outputs.groupby("predictor")]
    return ExitsView(
        names=names,
        method=method,
        deviations="; ".join(dict.fromkeys(text for text in outputs["deviations"] if text)),
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
