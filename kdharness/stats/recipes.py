"""One setting under several recipes, side by side. Gains are each recipe's own: no number crosses between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from kdharness.protocol.benchmark import STANDARD
from kdharness.stats.rankings import Ranking

# What a setting has under every recipe.
SHARED = ("benchmark", "dataset", "scenario", "seeding", "track", "teacher", "teacher_source", "student")


@dataclass(frozen=True)
class RecipesBeside:
    """The rankings of one setting.

    names: its columns, but for protocol and recipe.
    boards: by recipe, rows of `standings`; the benchmark's usual recipe comes first.
    references: those that some gain is measured against.
    """

    names: Mapping[str, str]
    deviations: str
    boards: Mapping[str, pd.DataFrame]
    references: tuple[str, ...]


def recipes_beside(rankings: Sequence[Ranking]) -> tuple[RecipesBeside, ...]:
    """One for each setting that was run under several recipes; none where one of them has several protocols, for then
    nobody knows which belong together.
    """
    groups: dict[tuple[str, ...], list[Ranking]] = {}
    for ranking in rankings:
        key = (*(ranking.names[name] for name in SHARED), ranking.deviations)
        groups.setdefault(key, []).append(ranking)
    return tuple(_beside(list(groups.values())))


def _beside(groups: Sequence[Sequence[Ranking]]) -> Iterator[RecipesBeside]:
    for group in groups:
        first = sorted(group, key=lambda ranking: ranking.names["recipe"] != STANDARD)
        boards = {ranking.names["recipe"]: ranking.board for ranking in first}
        references = tuple(dict.fromkeys(name for ranking in group for name in ranking.references))
        if references and len(boards) == len(group) > 1:
            names = {name: group[0].names[name] for name in SHARED}
            yield RecipesBeside(names, group[0].deviations, boards, references)
