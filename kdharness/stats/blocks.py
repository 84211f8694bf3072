"""Many methods on the same blocks: who beats whom how often, by how much each misses the best, and what decides it.

A block is a setting and a seed. Numbers are compared within a block alone; no number crosses between settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from kdharness.stats.contrast import BySeed, by_deviations, values_of
from kdharness.stats.contrast_means import TOGETHER
from kdharness.stats.question import Competitor, Question
from kdharness.stats.settings import COMPETITOR, SETTING, competitor_of, names_of
from kdharness.stats.summary import OF_CELL

Values = npt.NDArray[np.float64]

LEAST_COMPETITORS = 3
DIGITS = 9  # equal scores are equal however they were summed


@dataclass(frozen=True)
class Setting:
    """names: its columns. values: [seeds, competitors], larger is better."""

    names: Mapping[str, str]
    values: Values


@dataclass(frozen=True)
class Blocks:
    """Competitors that have a value in each of the same blocks.

    names: the columns of TOGETHER and the regime, "" where all are together.
    competitors: by the name that tables show, in the order of the values' columns.
    settings: at least one. seeds: may differ between settings.
    left_out: why a setting or competitor is not in it, one line each.
    """

    names: Mapping[str, str]
    competitors: tuple[str, ...]
    settings: tuple[Setting, ...]
    left_out: tuple[str, ...] = ()

    @cached_property
    def values(self) -> Values:
        """[blocks, competitors]."""
        return np.round(np.concatenate([setting.values for setting in self.settings]), DIGITS)

    @cached_property
    def wins(self) -> Values:
        """[row, column]: share of blocks in which the row is better than the column, ties counting half; NaN against
        itself.
        """
        ours, theirs = self.values[:, :, None], self.values[:, None, :]
        found: Values = ((ours > theirs) + 0.5 * (ours == theirs)).mean(axis=0)
        np.fill_diagonal(found, np.nan)
        return found

    @cached_property
    def win_rate(self) -> Values:
        """By competitor, the mean over all others."""
        return np.asarray(np.nanmean(self.wins, axis=1))

    @cached_property
    def regret(self) -> Values:
        """[blocks, competitors]: by how much each is below the block's best."""
        return np.asarray(self.values.max(axis=1, keepdims=True) - self.values)

    @cached_property
    def best(self) -> Values:
        """By competitor, the share of blocks in which nobody is better."""
        return np.asarray((self.regret == 0).mean(axis=0))

    @cached_property
    def ranks(self) -> Values:
        """[settings, competitors]: by the mean over the setting's seeds, 1 for the best; equal ones share a rank."""
        means = np.array([setting.values.mean(axis=0) for setting in self.settings]).round(DIGITS)
        return np.asarray(stats.rankdata(-means, axis=1))

    @cached_property
    def mean_ranks(self) -> Values:
        """By competitor, over settings of equal weight."""
        return np.asarray(self.ranks.mean(axis=0))

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The competitors, best mean rank first, then by regret, then by name."""
        regret = self.regret.mean(axis=0).round(DIGITS)
        keys = zip(self.mean_ranks.round(DIGITS), regret, self.competitors, range(len(self.competitors)), strict=True)
        return tuple(place for *_, place in sorted(keys))

    def of(self, places: Iterable[int]) -> Blocks:
        """With the settings of these places alone."""
        return replace(self, settings=tuple(self.settings[place] for place in places))


def blocks_of(frame: pd.DataFrame, question: Question) -> tuple[Blocks, ...]:
    """One for each benchmark, track and way to deviate that has three competitors or more; where all are asked for, one
    for each regime, which the reference joins.

    A setting counts where at least half of the competitors are complete, and a competitor where it is complete in each
    setting that counts; the seeds are those that all of them share.
    """
    groups: dict[tuple[str, ...], list[_Measured]] = {}
    needed = list(dict.fromkeys((*SETTING, *COMPETITOR, *OF_CELL, "regime", question.column)))
    for deviations, rows in by_deviations(frame):
        for key, setting in rows[needed].groupby(list(SETTING)):
            names = {**names_of(key), "deviations": deviations}
            for regime, values in _by_regime(setting, question).items():
                place = (*(names[name] for name in TOGETHER), regime)
                groups.setdefault(place, []).append(_Measured(names, values))
    made = (_blocks(key, measured) for key, measured in groups.items())
    return tuple(blocks for blocks in made if blocks is not None)


@dataclass(frozen=True)
class _Measured:
    """A setting: the values of each competitor that is complete; None of those that are not."""

    names: Mapping[str, str]
    values: Mapping[Competitor, BySeed | None]


def _by_regime(rows: pd.DataFrame, question: Question) -> dict[str, dict[Competitor, BySeed | None]]:
    found: dict[str, dict[Competitor, BySeed | None]] = {}
    reference: BySeed | None = None
    for (method, variant), group in rows.groupby(list(COMPETITOR)):
        name = (str(method), str(variant))
        if question.shown is None or name in question.shown:
            values = values_of(group, question.column)
            sign = -1 if question.smaller else 1
            complete = {seed: sign * v for seed, v in values.items()} if len(values) == len(group) else None
            reference = complete if name == question.reference else reference
            regime = str(group["regime"].iloc[0]) if question.shown is None else ""
            found.setdefault(regime, {})[name] = complete
    if reference is not None:
        for values_by_name in found.values():
            values_by_name[question.reference] = reference
    return found


def _blocks(key: tuple[str, ...], measured: Sequence[_Measured]) -> Blocks | None:
    everyone = sorted({name for each in measured for name, values in each.values.items() if values})
    kept = [each for each in measured if 2 * sum(map(bool, each.values.values())) >= len(everyone)]
    whole = [name for name in everyone if all(each.values.get(name) for each in kept)]
    settings = [setting for each in kept if (setting := _setting(each, whole)) is not None]
    if len(whole) < LEAST_COMPETITORS or not settings:
        return None
    left_out = (*_dropped(measured, kept, settings), *_incomplete(everyone, whole, kept))
    shown = tuple(map(_name, whole))
    return Blocks(dict(zip((*TOGETHER, "regime"), key, strict=True)), shown, tuple(settings), left_out)


def _setting(each: _Measured, whole: Sequence[Competitor]) -> Setting | None:
    """None without a seed that all of them share."""
    values = [each.values[name] or {} for name in whole]
    seeds = [seed for seed in values[0] if all(seed in other for other in values)] if values else []
    if not seeds:
        return None
    return Setting(each.names, np.array([[of[seed] for of in values] for seed in seeds]))


def _dropped(measured: Sequence[_Measured], kept: Sequence[_Measured], settings: Sequence[Setting]) -> Iterator[str]:
    few = len(measured) - len(kept)
    if few:
        yield f"settings left out, for fewer than half of the methods are complete there: {few} of {len(measured)}"
    apart = len(kept) - len(settings)
    if apart:
        yield f"settings left out, for the methods share no seed there: {apart} of {len(measured)}"


def _incomplete(
    everyone: Sequence[Competitor], whole: Sequence[Competitor], kept: Sequence[_Measured]
) -> Iterator[str]:
    lacking = {name: sum(not each.values.get(name) for each in kept) for name in everyone if name not in whole}
    if lacking:
        each = ", ".join(f"{_name(name)} in {count}" for name, count in lacking.items())
        yield f"methods left out, for they are not complete in all {len(kept)} settings: {each}"


def _name(competitor: Competitor) -> str:
    return competitor_of(dict(zip(COMPETITOR, competitor, strict=True)))


# -- what decides the order --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removal:
    """What the order would be without some settings.

    what: which, in words. settings: how many they are. leader: who would lead. turned: pairs of competitors that would
    stand the other way round, of so many pairs.
    """

    what: str
    settings: int
    leader: str
    turned: int
    pairs: int


def removals(blocks: Blocks, labels: Sequence[str]) -> tuple[Removal, ...]:
    """One for each setting, called by its label, and for each dataset with several of them; what turns most comes
    first. Nothing where there is one setting.
    """
    found = []
    if len(blocks.settings) > 1:
        for place, label in enumerate(labels):
            found.append(_removal(label, 1, blocks, blocks.of(i for i in range(len(labels)) if i != place)))
    datasets = [setting.names["dataset"] for setting in blocks.settings]
    for dataset in dict.fromkeys(datasets):
        count = datasets.count(dataset)
        if 1 < count < len(datasets):
            others = blocks.of(i for i, name in enumerate(datasets) if name != dataset)
            found.append(_removal(f"all of {dataset}", count, blocks, others))
    return tuple(sorted(found, key=lambda removal: -removal.turned))


def _removal(what: str, settings: int, whole: Blocks, rest: Blocks) -> Removal:
    before, after = (np.argsort(each.order) for each in (whole, rest))
    first, second = np.triu_indices(len(before), 1)
    turned = int(((before[first] < before[second]) != (after[first] < after[second])).sum())
    return Removal(what, settings, rest.competitors[rest.order[0]], turned, len(first))
