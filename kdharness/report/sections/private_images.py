"""What a method's accounting promises of private images, and what an attack finds all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import COST, MEMORY, Column, Grid, with_error
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import banner, setting_title
from kdharness.results.budgets import Budget
from kdharness.stats.privacy import Exposure, SettingPrivacy
from kdharness.stats.summary import Estimate

EPSILON = (
    "epsilon: what one student spent of the private images' privacy, at the delta beside it; of all: what the row's "
    "students spent together. 0: no teacher that saw them was asked; infinite: one was, without a mechanism that "
    "protects, or with noise from a seed that is known"
)
OUTSIDE = (
    "Outside every budget, for they are measured without noise: the teacher's top-1, the agreement with it, and the "
    "leak: by how much better than chance a threshold on the loss tells private images from test images, in points, ± "
    "half a 95 % interval over seeds and images; teacher's: of each teacher once"
)
OF_ALL = {
    "student+teacher": "the teachers of all seeds saw the same images",
    "student+data": "each seed draws anew which images are private",
    "student+teacher+data": "each seed draws anew which images are private",
}
ONE_TEACHER = "one teacher: its ± is over images alone, and how teachers differ is not known"
OWN_SPLIT = (
    "of all is about images that are private for every seed, and those that are public for one are not protected"
)


def private_images_section(privacy: SettingPrivacy) -> Section:
    title = setting_title(privacy.names, "private images")
    how = tuple(filter(None, (EPSILON, _released(privacy), OUTSIDE, _seeds(privacy))))
    remarks = (ONE_TEACHER,) if any(each.teacher_leak.n == 1 for each in privacy.exposures) else ()
    grid, departs = private_images_grid(privacy), banner(privacy.deviations)
    short = Short("private images", setting_title(privacy.names), _in_short(privacy.exposures))
    return Section(SectionKind.PRIVATE_IMAGES, title, grid, departs, remarks, how=how, short=short)


def _in_short(exposures: Sequence[Exposure]) -> str:
    """How many rows keep a budget, and where an attack finds most."""
    spent = [each.spent.epsilon for each in exposures if each.spent is not None]
    kept = sorted(epsilon for epsilon in spent if 0 < epsilon < math.inf)
    ends = dict.fromkeys(f"{epsilon:.4g}" for epsilon in (*kept[:1], *kept[-1:]))
    budget = f" (epsilon {' to '.join(ends)} a student)" if ends else ""
    counted = (
        f"{len(kept)} of {len(exposures)} methods keep a budget{budget}, "
        f"{spent.count(0.0)} ask no teacher that saw them, {spent.count(math.inf)} ask without protection"
    )
    leaks = [each for each in exposures if not math.isnan(each.student_leak.mean)]
    if not leaks:
        return counted
    worst = max(leaks, key=lambda each: each.student_leak.mean)
    (text,) = _leaks([worst.student_leak])
    return f"{counted}; largest leak {text} points ({worst.name})"


def _released(privacy: SettingPrivacy) -> str:
    """Who else asked, and what it comes to if all of them are released."""
    protected = [e.name for e in privacy.exposures if e.spent is not None and 0 < e.spent.epsilon < math.inf]
    if not protected:
        return ""
    found = []
    if privacy.protected is not None:
        budget = privacy.protected
        found.append(f"{', '.join(protected)} together: epsilon {budget.epsilon:.4g}, delta {budget.delta:.0e}")
    if privacy.unprotected:
        whose = ", ".join(privacy.unprotected)
        found.append(f"{whose} asked without protection that holds: with their release the budget is infinite")
    return "A row's budget is that of its students alone. " + "; ".join(found) if found else ""


def _seeds(privacy: SettingPrivacy) -> str:
    names, counts = privacy.names, [exposure.top1.n for exposure in privacy.exposures]
    seeds, seeding = over_seeds(names, counts), names["seeding"]
    drawn = OF_ALL.get(seeding, "")
    assumed = f"{drawn}: {OWN_SPLIT}" if seeding.endswith("data") else drawn
    return "; ".join(filter(None, (seeds, assumed)))


def private_images_grid(privacy: SettingPrivacy) -> Grid:
    each = privacy.exposures
    releases = tuple("" if math.isnan(e.releases) else f"{e.releases:.0f}" for e in each)
    return Grid(
        (
            Column("method", tuple(e.name for e in each), name=True),
            Column("top-1 ±sd", with_error([e.top1.mean for e in each], [e.top1.sd for e in each])),
            Column("epsilon", tuple(_epsilon(e.spent) for e in each)),
            Column("of all", tuple(_epsilon(e.together) for e in each)),
            Column("delta", tuple(_delta(e.spent) for e in each)),
            Column("releases", releases, dropped=MEMORY),
            Column("leak", _leaks([e.student_leak for e in each])),
            Column("teacher's", _leaks([e.teacher_leak for e in each]), dropped=COST),
        )
    )


def _leaks(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    return with_error([e.mean for e in estimates], [(e.ci_high - e.ci_low) / 2 for e in estimates], "+")


def _epsilon(budget: Budget | None) -> str:
    if budget is None:
        return ""
    return "infinite" if budget.epsilon == math.inf else f"{budget.epsilon:.4g}"


def _delta(budget: Budget | None) -> str:
    """The delta of a budget; nothing where nothing was spent, or everything."""
    return "" if budget is None or not 0 < budget.epsilon < math.inf else f"{budget.delta:.0e}"
