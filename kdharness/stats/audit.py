"""The audit of private images: what attackers find out of students and of their teachers, beside what was promised.

Membership is a coin, tossed anew for each draw. Rates are those of `attacks`, over candidates with right labels. The
bound on epsilon is that of `epsilon_bounds`, over the canaries, or over all candidates where there are none. Draws are
independent, and each coin reaches the networks of its own draw alone, so that guesses of all draws count together, as
long as they come from what was released: by an image's confidence, and by it less its mean over the draws, members or
not. LiRA looks at the other draws' coins, which would bind their guesses together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kdharness.results.audits import Audit
from kdharness.results.budgets import Budget
from kdharness.stats.attacks import Rates, lira_scores, rates_of
from kdharness.stats.epsilon_bounds import Bound, best_bound
from kdharness.stats.privacy import most_spent
from kdharness.stats.settings import COMPETITOR, SETTING, comparable, competitor_of, deviations_of, names_of
from kdharness.stats.summary import CONFIDENCE

TEACHER_NAME = "teacher"
# Of the bound, where no delta is promised.
USUAL_DELTA = 1e-5
ONE_DRAW = "one draw of membership: no network of another draw can be a shadow"


@dataclass(frozen=True)
class Audited:
    """The networks of one competitor, or the teachers of a setting.

    name: the method with its variant, or "teacher". method, variant: "" for teachers.
    draws: how many networks were attacked.
    lira, threshold: the attacks.
    bound: on epsilon; None without candidates.
    promised: what the method states for one student; None where it states nothing.
    is_broken: whether more was found out than was promised. At most 5 % of settings whose promises are kept have one.
    """

    name: str
    method: str
    variant: str
    draws: int
    lira: Rates
    threshold: Rates
    bound: Bound | None
    promised: Budget | None
    is_broken: bool = False

    @property
    def p(self) -> float:
        """How probable so many right guesses are at most, if the promise is kept; NaN where nothing is limited."""
        is_limited = self.promised is not None and self.promised.epsilon < math.inf
        return self.bound.p(self.promised.epsilon) if self.bound and self.promised and is_limited else math.nan


@dataclass(frozen=True)
class SettingAudit:
    """Those of one setting (names: its columns); teachers come last."""

    names: Mapping[str, str]
    deviations: str
    networks: tuple[Audited, ...]


def audits_of(frame: pd.DataFrame, audits: Mapping[str, Audit]) -> tuple[SettingAudit, ...]:
    """One for each setting with candidates; what follows its benchmark comes first. audits: by cell."""
    if not audits:
        return ()
    rows = comparable(frame)[0]
    rows = rows[(rows["status"] == "ok") & rows["cell"].isin(list(audits))]
    found = []
    for key, setting in rows.groupby(list(SETTING)):
        students = [
            _student(str(method), str(variant), cells, audits)
            for (method, variant), cells in setting.groupby(list(COMPETITOR))
        ]
        networks = (*_judged(students), *_teachers(setting, audits))
        found.append(SettingAudit(names_of(key), deviations_of(setting), networks))
    return tuple(sorted(found, key=lambda audit: bool(audit.deviations)))


def _judged(students: Sequence[Audited]) -> Iterable[Audited]:
    """With what is broken, by Bonferroni over the promises of the setting."""
    tests = sum(not math.isnan(each.p) for each in students)
    return (replace(each, is_broken=each.p * tests < 1 - CONFIDENCE) for each in students)


def _student(method: str, variant: str, cells: pd.DataFrame, audits: Mapping[str, Audit]) -> Audited:
    name = competitor_of({"method": method, "variant": variant})
    seen = [audits[cell] for cell in cells.sort_values("seed")["cell"]]
    promised = most_spent(cells)
    return _audited(name, method, variant, [(audit, audit.confidence) for audit in seen], promised)


def _teachers(setting: pd.DataFrame, audits: Mapping[str, Audit]) -> Iterable[Audited]:
    """Each teacher, or set of them, once: whichever student's cell looked at it."""
    taught = setting[setting["teacher_cell"] != ""].sort_values("seed").drop_duplicates("teacher_cell")
    seen = [audits[cell] for cell in taught["cell"]]
    known = [(audit, audit.teacher_confidence) for audit in seen if audit.teacher_confidence is not None]
    if known:
        yield _audited(TEACHER_NAME, "", "", known, None)


def _audited(
    name: str,
    method: str,
    variant: str,
    seen: Sequence[tuple[Audit, NDArray[np.float64]]],
    promised: Budget | None,
) -> Audited:
    """seen: of each draw, with the confidence of the network that is attacked."""
    first = seen[0][0]
    alike = [(a, c) for a, c in seen if np.array_equal(a.candidates, first.candidates)]
    confidence, members = np.stack([c for _, c in alike]), np.stack([a.members for a, _ in alike])
    natural = ~first.canaries
    told = first.canaries if first.canaries.any() else natural
    is_limited = promised is not None and 0 < promised.epsilon < math.inf
    delta = promised.delta if promised is not None and is_limited else USUAL_DELTA
    return Audited(
        name=name,
        method=method,
        variant=variant,
        draws=len(alike),
        lira=rates_of(lira_scores(confidence[:, natural], members[:, natural]), members[:, natural]),
        threshold=rates_of(confidence[:, natural], members[:, natural]),
        bound=_bound(confidence[:, told], members[:, told], delta),
        promised=promised,
    )


def _bound(confidence: NDArray[np.float64], members: NDArray[np.bool_], delta: float) -> Bound | None:
    """Coins that were tossed once count once: of draws with the same members the first."""
    _, firsts = np.unique(members, axis=0, return_index=True)
    kept = np.sort(firsts)
    seen = confidence[kept]
    scores = [seen, seen - seen.mean(axis=0)] if len(kept) > 1 else [seen]
    return best_bound([each.ravel() for each in scores], members[kept].ravel(), delta)


AUDIT_COLUMNS = (
    *SETTING, "deviations", "network", *COMPETITOR, "attack", "draws", "members", "non_members", "auc", "auc_low",
    "auc_high", "tpr_at_fpr_1", "tpr_at_fpr_1_low", "tpr_at_fpr_1_high", "tpr_at_fpr_0_1", "tpr_at_fpr_0_1_low",
    "tpr_at_fpr_0_1_high", "advantage", "advantage_low", "advantage_high", "coins", "guesses", "right",
    "epsilon_at_least", "epsilon", "delta", "p", "broken", "reason",
)  # fmt: skip

COUNTS = ("members", "non_members", "coins", "guesses", "right")


def audit_frame(audits: Iterable[SettingAudit]) -> pd.DataFrame:
    """audit.csv: a row for each network's attacks "lira" and "threshold", and for the guesses, "coins"."""
    rows = [row for audit in audits for each in audit.networks for row in _rows(audit, each)]
    return pd.DataFrame(rows, columns=list(AUDIT_COLUMNS)).astype(dict.fromkeys(COUNTS, "Int64"))


def _rows(audit: SettingAudit, each: Audited) -> Iterable[dict[str, Any]]:
    shared = {
        **audit.names,
        "deviations": audit.deviations,
        "network": "student" if each.method else TEACHER_NAME,
        "method": each.method,
        "variant": each.variant,
        "draws": each.draws,
    }
    for attack, rates in (("lira", each.lira), ("threshold", each.threshold)):
        reason = ONE_DRAW if attack == "lira" and not rates.members else few_words(rates)
        yield {**shared, "attack": attack, **_numbers(rates), "reason": reason}
    if each.bound is not None:
        numbers = _of_bound(each.bound, each.promised)
        yield {**shared, "attack": "coins", **numbers, "p": each.p, "broken": each.is_broken}


def few_words(rates: Rates) -> str:
    """Why a rate is missing; '' where none is."""
    missing = [f"{share}" for share, each in zip(("1 %", "0.1 %"), rates.low_rates, strict=True) if math.isnan(each[0])]
    return f"{rates.others} non-members are too few for {' and '.join(missing)} of them" if missing else ""


def _numbers(rates: Rates) -> dict[str, float]:
    found: dict[str, float] = {"members": rates.members, "non_members": rates.others}
    each = {"tpr_at_fpr_1": rates.low_rates[0], "tpr_at_fpr_0_1": rates.low_rates[1], "advantage": rates.advantage}
    for name, interval, scale in (("auc", rates.auc, 1), *((n, i, 100) for n, i in each.items())):
        ends = (name, f"{name}_low", f"{name}_high")
        found |= {column: scale * value for column, value in zip(ends, interval, strict=True)}
    return found


def _of_bound(bound: Bound, promised: Budget | None) -> dict[str, float]:
    epsilon = math.nan if promised is None else promised.epsilon
    numbers = {"coins": bound.coins, "guesses": bound.guesses, "right": bound.right, "delta": bound.delta}
    return {**numbers, "epsilon_at_least": bound.epsilon, "epsilon": epsilon}
