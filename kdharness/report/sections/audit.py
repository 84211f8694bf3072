"""What attackers find out of the private images, beside what was promised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import COST, MEMORY, Column, Grid, with_error
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import banner, setting_title
from kdharness.stats.attacks import Interval
from kdharness.stats.audit import ONE_DRAW, Audited, SettingAudit, few_words

ATTACKS = (
    "a coin made each candidate a member or not. LiRA: the networks of the other draws that never met an image say how "
    "sure one would be without it; threshold: the confidence as it is. Rates in percent, ± half a 95 % interval over "
    "draws and images (bootstrap); chance is an AUC of 0.5, 1.00 and 0.10 at 1 % and 0.1 % false positives, advantage 0"
)
BOUND = (
    "epsilon above: guesses who is a member refute every epsilon up to this one, at the delta promised, else 1e-05 "
    "(Steinke, Nasr, Jagielski 2023; each such bound is wrong in 5 % at most, and an alarm in 5 % of tables); "
    "promised: of one student"
)
OUTSIDE = "The audit reads networks without noise: handing its numbers on is outside every budget"


def audit_section(audit: SettingAudit) -> Section:
    title, networks = setting_title(audit.names, "membership audit"), audit.networks
    how = (ATTACKS, BOUND, OUTSIDE, _counts(audit))
    return Section(
        SectionKind.AUDIT,
        title,
        audit_grid(networks),
        banner(audit.deviations),
        (*_alarms(networks), *_missing(networks)),
        how=how,
        short=Short("membership audit", setting_title(audit.names), _in_short(networks)),
    )


def _in_short(networks: Sequence[Audited]) -> str:
    """Where the better attack finds least and most, and every alarm."""
    name = "LiRA" if any(not math.isnan(each.lira.auc.value) for each in networks) else "threshold"
    found = {each.name: (each.lira if name == "LiRA" else each.threshold).auc.value for each in networks}
    known = sorted((auc, of) for of, auc in found.items() if not math.isnan(auc))
    ends = [f"{auc:.2f} ({of})" for auc, of in dict.fromkeys((known[0], known[-1]))] if known else ["not known"]
    return "; ".join((f"{name} AUC {' to '.join(ends)}, chance is 0.50", *_alarms(networks)))


def _alarms(networks: Iterable[Audited]) -> Iterable[str]:
    for each in networks:
        if each.is_broken and each.bound is not None and each.promised is not None:
            right = f"{each.bound.right} of {each.bound.guesses} guesses are right"
            yield (
                f"ALARM: {each.name} promises epsilon {each.promised.epsilon:.4g}; {right}, which refutes all up to "
                f"{each.bound.epsilon:.4g}: the accounting is wrong, or is not about single images"
            )


def _missing(networks: Sequence[Audited]) -> Iterable[str]:
    if any(not each.lira.members for each in networks):
        yield f"no LiRA: {ONE_DRAW} (scenario_seeds = paired gives each seed a draw of its own)"
    said = (few_words(each.threshold) for each in networks)
    yield from dict.fromkeys(filter(None, said))


def _counts(audit: SettingAudit) -> str:
    rates = audit.networks[0].threshold
    coins = next((each.bound.coins for each in audit.networks if each.bound is not None), 0)
    told = f"{rates.members} members and {rates.others} others over all draws; {coins} coins to guess"
    return "; ".join(filter(None, (told, over_seeds(audit.names, [each.draws for each in audit.networks]))))


def audit_grid(networks: Sequence[Audited]) -> Grid:
    return Grid(
        (
            Column("method", tuple(each.name for each in networks), name=True),
            Column("LiRA AUC", _shown(networks, lambda each: each.lira.auc, 1)),
            Column("TPR at 1 %", _shown(networks, lambda each: each.lira.low_rates[0])),
            Column("at 0.1 %", _shown(networks, lambda each: each.lira.low_rates[1]), dropped=COST),
            Column("advantage", _shown(networks, lambda each: each.lira.advantage), dropped=COST),
            Column("threshold AUC", _shown(networks, lambda each: each.threshold.auc, 1), dropped=MEMORY),
            Column("its advantage", _shown(networks, lambda each: each.threshold.advantage), dropped=MEMORY),
            Column("epsilon above", tuple(f"{each.bound.epsilon:.3g}" if each.bound else "" for each in networks)),
            Column("promised", tuple(_promised(each) for each in networks)),
        )
    )


def _shown(networks: Iterable[Audited], of: Callable[[Audited], Interval], scale: float = 100) -> tuple[str, ...]:
    found = [of(each) for each in networks]
    return with_error([scale * i.value for i in found], [scale * (i.high - i.low) / 2 for i in found])


def _promised(each: Audited) -> str:
    if each.promised is None:
        return ""
    return "infinite" if each.promised.epsilon == math.inf else f"{each.promised.epsilon:.4g}"
