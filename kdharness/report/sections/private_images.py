"""What a method's accounting promises of private images, and what an attack finds all the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import COST, MEMORY, Column, Grid, with_error
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import banner, setting_title
from kdharness.stats.privacy import Exposure, SettingPrivacy
from kdharness.stats.summary import Estimate

HOW = (
    "epsilon: privacy budget spent on the private images, at the delta beside it: 0 where nobody who saw them was "
    "asked, infinite where somebody was and nothing private stands between, whatever its noise. Leak: by how much "
    "better than chance a threshold on the loss tells private images from test images, in points, ± half a 95 % "
    "interval over seeds and images; teacher's: of each teacher once"
)
ONE_TEACHER = "one teacher: its ± is over images alone, and how teachers differ is not known"


def private_images_section(privacy: SettingPrivacy) -> Section:
    names, counts = privacy.names, [exposure.top1.n for exposure in privacy.exposures]
    title = setting_title(names, "private images")
    remarks = (ONE_TEACHER,) if any(each.teacher_leak.n == 1 for each in privacy.exposures) else ()
    how = f"{HOW}; {over_seeds(names, counts)}"
    grid, departs = private_images_grid(privacy), banner(privacy.deviations)
    return Section(SectionKind.PRIVATE_IMAGES, title, grid, departs, remarks, how=(how,))


def private_images_grid(privacy: SettingPrivacy) -> Grid:
    each = privacy.exposures
    releases = tuple("" if math.isnan(e.releases) else f"{e.releases:.0f}" for e in each)
    return Grid(
        (
            Column("method", tuple(e.name for e in each), name=True),
            Column("top-1 ±sd", with_error([e.top1.mean for e in each], [e.top1.sd for e in each])),
            Column("epsilon", tuple(_epsilon(e) for e in each)),
            Column("delta", tuple(_delta(e) for e in each)),
            Column("releases", releases, dropped=MEMORY),
            Column("leak", _leaks([e.student_leak for e in each])),
            Column("teacher's", _leaks([e.teacher_leak for e in each]), dropped=COST),
        )
    )


def _leaks(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    return with_error([e.mean for e in estimates], [(e.ci_high - e.ci_low) / 2 for e in estimates], "+")


def _epsilon(exposure: Exposure) -> str:
    return "infinite" if exposure.epsilon == math.inf else f"{exposure.epsilon:.4g}"


def _delta(exposure: Exposure) -> str:
    """The delta of a budget; nothing where there is no budget."""
    return "" if math.isnan(exposure.delta) else f"{exposure.delta:.0e}"
