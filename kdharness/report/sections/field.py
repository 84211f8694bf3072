"""Many methods on the same blocks: mean ranks, regret, who beats whom, and what decides the order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kdharness.report.figures import Gain, GainFigure, Profile, ProfileFigure
from kdharness.report.sections.contrast import decimals_of, listed
from kdharness.report.sections.grid import COST, GAIN, Column, Grid
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, joined, place_of, track_of
from kdharness.stats.blocks import Blocks, Removal, removals
from kdharness.stats.mean_ranks import critical_difference, pairs_of, profile, rank_test, settings_needed
from kdharness.stats.question import Question
from kdharness.stats.settings import pair_of

MOST_BESIDE = 12  # in a matrix, so that it fits 80 columns
WITHIN = (0.2, 0.5, 1.0, 2.0)  # points, of a profile
DISTANCES = 41  # of a drawn one
BEYOND = 0.1


def field_sections(blocks: Blocks, question: Question) -> Iterator[Section]:
    """The field, its win rates, and what decides its order."""
    yield _field(blocks, question)
    yield _wins(blocks)
    found = removals(blocks, [label_of(setting.names) for setting in blocks.settings])
    if found:
        yield _decides(blocks, found)


def label_of(names: Mapping[str, str]) -> str:
    """A setting among those of one benchmark: 'digits few100 conv32:conv16'."""
    return " ".join(filter(None, (names["dataset"], *place_of(names)[:2], pair_of(names))))


def _title(blocks: Blocks, what: str) -> str:
    names = blocks.names
    return joined(names["benchmark"], track_of(names), names["regime"].replace("_", " "), what)


def _field(blocks: Blocks, question: Question) -> Section:
    several = len(blocks.settings) > 1
    count = f"{len(blocks.values)} blocks ({len(blocks.settings)} setting{'s' if several else ''} x seeds)"
    unit = "points" if question.points else question.metric
    how = (
        f"a block is a setting and a seed; numbers are compared within a block alone; {count}",
        f"rank: mean over settings of the rank of the seeds' mean; regret: mean {unit} below the block's best; wins: "
        "share of the others beaten, a tie counts half; best: share of blocks in which nobody is better",
    )
    remarks = (*blocks.left_out, *_ranks_say(blocks))
    title = _title(blocks, f"{question.metric} of {len(blocks.competitors)} methods")
    grid = field_grid(blocks, question)
    figures = (rank_figure(title, blocks), profile_figure(title, blocks, question)) if is_enough(blocks) else ()
    return Section(SectionKind.FIELD, title, grid, banner(blocks.names["deviations"]), remarks, how, figures)


def rank_figure(title: str, blocks: Blocks) -> GainFigure:
    """A critical-difference diagram, a line for each method."""
    half = critical_difference(len(blocks.competitors), len(blocks.settings)) / 2
    behind = blocks.mean_ranks - blocks.mean_ranks.min()
    label = "mean ranks behind the first, ± half of Nemenyi's critical difference: told apart where none overlaps"
    lines = (Gain(blocks.competitors[i], behind[i], behind[i] - half, behind[i] + half) for i in blocks.order)
    return GainFigure(title, blocks.names["deviations"], label, tuple(lines))


def profile_figure(title: str, blocks: Blocks, question: Question) -> ProfileFigure:
    """A performance profile for each method, up to the distance that a tenth of all regrets are beyond."""
    farthest = float(np.quantile(blocks.regret, 1 - BEYOND))
    within = np.linspace(0.0, farthest or 1.0, DISTANCES)
    shares = profile(blocks.regret, within.tolist()).T
    lines = (Profile(blocks.competitors[i], tuple(shares[i].tolist())) for i in blocks.order)
    unit = "points" if question.points else question.metric
    return ProfileFigure(
        joined(title, "performance profile"),
        blocks.names["deviations"],
        f"{unit} below the block's best, at most",
        tuple(within.tolist()),
        tuple(lines),
        question.reference_name,
    )


def field_grid(blocks: Blocks, question: Question) -> Grid:
    """Best first."""
    order, regret = list(blocks.order), blocks.regret.mean(axis=0)
    digits = 2 if question.points else decimals_of(regret)
    columns = [
        Column("#", tuple(str(place + 1) for place in range(len(order)))),
        Column("method", tuple(blocks.competitors[i] for i in order), name=True),
        Column("rank", tuple(f"{blocks.mean_ranks[i]:.2f}" for i in order)),
        Column("regret", tuple(f"{regret[i]:.{digits}f}" for i in order)),
        Column("wins", tuple(_percent(blocks.win_rate[i]) for i in order)),
        Column("best", tuple(_percent(blocks.best[i]) for i in order), dropped=GAIN),
    ]
    if question.points and is_enough(blocks):
        for within, shares in zip(WITHIN, profile(blocks.regret, WITHIN), strict=True):
            columns.append(Column(f"<={within:g}", tuple(_percent(shares[i]) for i in order), dropped=COST))
    return Grid(tuple(columns), best=(0,))


def _percent(share: float) -> str:
    return f"{share:.0%}"


def is_enough(blocks: Blocks) -> bool:
    """Whether there are settings enough for tests of mean ranks."""
    return len(blocks.settings) >= settings_needed(pairs_of(len(blocks.competitors)))


def _ranks_say(blocks: Blocks) -> Iterator[str]:
    """Who is not told apart by mean ranks, or why nobody can say."""
    settings, count = len(blocks.settings), len(blocks.competitors)
    needed = settings_needed(pairs_of(count))
    critical = critical_difference(count, settings)
    if settings < needed:
        yield (
            f"no critical-difference diagram and no performance profile: {settings} of the {needed} settings that it "
            f"takes until Wilcoxon's test with Holm's correction can tell any two of {count} methods apart "
            f"({needed - settings} lacking); Nemenyi's critical difference would be {critical:.1f} of {count - 1} ranks"
        )
        return
    means = np.array([setting.values.mean(axis=0) for setting in blocks.settings])
    found = rank_test(means)
    yield (
        f"Friedman's test (Iman and Davenport): p {found.friedman_p:.2g} over {settings} settings and {count} methods; "
        f"Nemenyi's critical difference at 0.05: {critical:.2f} ranks"
    )
    for clique in found.cliques:
        names = listed([blocks.competitors[i] for i in clique])
        yield f"not told apart (Wilcoxon's test, Holm over all pairs): {names}"
    yield "<= 0.2 and so on: performance profile, the share of blocks so many points or fewer below the block's best"


def _wins(blocks: Blocks) -> Section:
    shown = blocks.order[:MOST_BESIDE]
    more = len(blocks.order) - len(shown)
    columns = [
        Column("#", tuple(str(place + 1) for place in range(len(shown)))),
        Column("method", tuple(blocks.competitors[i] for i in shown), name=True),
    ]
    for place, column in enumerate(shown):
        values = tuple("" if row == column else f"{100 * blocks.wins[row, column]:.0f}" for row in shown)
        columns.append(Column(str(place + 1), values))
    how = (
        f"% of {len(blocks.values)} blocks in which the row is better than the column of that number; a tie counts half"
    )
    remarks = (f"the {len(shown)} of the best mean rank; {more} more are not shown",) if more > 0 else ()
    title = _title(blocks, "who beats whom")
    return Section(SectionKind.WINS, title, Grid(tuple(columns)), banner(blocks.names["deviations"]), remarks, (how,))


def _decides(blocks: Blocks, found: Sequence[Removal]) -> Section:
    leader = blocks.competitors[blocks.order[0]]
    columns = (
        Column("left out", tuple(removal.what for removal in found), name=True),
        Column("settings", tuple(str(removal.settings) for removal in found), dropped=COST),
        Column("then leads", tuple(removal.leader for removal in found), name=True),
        Column("turned", tuple(f"{removal.turned} of {removal.pairs}" for removal in found)),
    )
    turns = [removal for removal in found if removal.leader != leader]
    whose = "; ".join(f"{removal.leader} without {removal.what}" for removal in turns)
    one = f"{leader} leads by mean rank, whichever is left out"
    remark = f"{leader} leads by mean rank, but {whose}" if turns else one
    how = "turned: pairs of methods that would stand the other way round; what turns most comes first"
    title = _title(blocks, "what decides the order")
    return Section(SectionKind.DECIDES, title, Grid(columns), banner(blocks.names["deviations"]), (remark,), (how,))
