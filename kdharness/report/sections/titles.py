"""Titles of settings, and the banner of what deviates."""

from __future__ import annotations

from collections.abc import Mapping

from kdharness.protocol.benchmark import STANDARD
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.stats.settings import pair_of

DOT = " · "


def setting_title(names: Mapping[str, str], *more: str) -> str:
    """'digits · few100 · conv32:conv16', of the columns of a setting, then what else is said of it."""
    return joined(names["benchmark"], names["dataset"], *place_of(names), pair_of(names), *more)


def place_of(names: Mapping[str, str]) -> tuple[str, str, str]:
    """Scenario, recipe and track; '' for each that is the usual one."""
    return scenario_of(names), recipe_of(names), track_of(names)


def scenario_of(names: Mapping[str, str]) -> str:
    """The scenario's name; '' for the usual one."""
    return "" if names["scenario"] == "clean" else names["scenario"]


def recipe_of(names: Mapping[str, str]) -> str:
    """'recipe modern'; '' for the usual one."""
    return "" if names["recipe"] in ("", STANDARD) else f"recipe {names['recipe']}"


def track_of(names: Mapping[str, str]) -> str:
    """'published parameters'; '' for the default track."""
    return "" if names["track"] in ("", DEFAULT_TRACK) else f"{names['track']} parameters"


def joined(*parts: str) -> str:
    """Each part once, without the empty ones: a benchmark is often called as its dataset is."""
    return DOT.join(dict.fromkeys(part for part in parts if part))


def banner(deviations: str) -> str:
    """What a run that departs from its benchmark must say; '' for others."""
    return f"deviates from the benchmark: {deviations}" if deviations else ""
