"""What stands above a paper's table: what the numbers are, over what, and how differences were told from chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.ranking import SELECTIONS, names_behind
from kdharness.stats.rankings import Ranking
from kdharness.stats.summary import LEAST_FOR_INTERVAL

DAGGER = "\N{DAGGER}"
ONE_FOR_EACH = "one for each pair"


def caption_of(rankings: Sequence[Ranking], reference: str) -> str:
    """Sentences about the rankings of one table. reference: that its gains are over, '' for none."""
    return ". ".join([*_measured(rankings), *_told_apart(rankings), *_gains(rankings, reference)]) + "."


def _measured(rankings: Sequence[Ranking]) -> Iterator[str]:
    names = rankings[0].names
    boards = pd.concat([ranking.board for ranking in rankings], ignore_index=True)
    one = len(rankings) == 1
    over = over_seeds(names_behind(rankings[0]) if one else {**names, "teacher": ONE_FOR_EACH}, boards["n"])
    selections = dict.fromkeys(SELECTIONS.get(name, name) for name in boards["selection"] if name)
    value = "mean ± standard deviation" if (boards["n"] > 1).any() else "single values"
    mean = f"{value} {over}".rstrip()
    yield ", ".join(filter(None, ("Top-1 in % on test", " | ".join(selections), mean)))
    versions = " | ".join(dict.fromkeys(text for text in boards["kdharness_version"] if text))
    yield f"Protocol {names['protocol'][:8]} of benchmark {names['benchmark']}, kdharness {versions}".rstrip()
    if not boards["complete"].all():
        yield "(2/5): two of five seeds count; not ranked"


def _told_apart(rankings: Sequence[Ranking]) -> Iterator[str]:
    boards = pd.concat([ranking.board for ranking in rankings], ignore_index=True)
    whose = "of its group" if boards["regime"].nunique() > 1 else "of its pair" if len(rankings) > 1 else "of all"
    if not (boards["n"] >= LEAST_FOR_INTERVAL).any():
        yield f"Bold: the highest mean {whose}; below {LEAST_FOR_INTERVAL} seeds no difference is tested"
        return
    counts = [boards[column].max() for column in boards if str(column).endswith("_comparisons")]
    known = [int(count) for count in counts if not pd.isna(count)]
    tests = f" over up to {max(known)} comparisons" if known else ""
    each = " of a pair" if len(rankings) > 1 else ""
    yield (
        f"Bold: the highest mean {whose}; {DAGGER}: not told apart from it "
        f"(paired t tests, weighted Holm{tests}{each}, 5 %)"
    )


def _gains(rankings: Sequence[Ranking], reference: str) -> Iterator[str]:
    if reference:
        mean = f", mean over {len(rankings)} pairs" if len(rankings) > 1 else ""
        counts = pd.concat([ranking.board[f"gain_over_{reference}_n"] for ranking in rankings])
        enough = bool((counts >= LEAST_FOR_INTERVAL).any())
        interval = "± half a 95 % interval" if enough else f"no interval below {LEAST_FOR_INTERVAL} seeds"
        yield f"Gains over {reference} are paired by seed{mean}, {interval}"
