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
    "epsilon: privacy budget spent on the private images, at the delta beside it; none: nothing is claimed; infinite: "
    "the mechanism protects nothing, whatever its noise. Leak: by how much better than chance a threshold on the loss "
    "tells private images from test images, in points, ± standard deviation"
)


def private_images_section(privacy: SettingPrivacy) -> Section:
    names, counts = privacy.names, [exposure.top1.n for exposure in privacy.exposures]
    title = setting_title(names, "private images")
    how = f"{HOW} {over_seeds(names, counts)}"
    return Section(
        SectionKind.PRIVATE_IMAGES, title, private_images_grid(privacy), banner(privacy.deviations), how=(how,)
    )


def private_images_grid(privacy: SettingPrivacy) -> Grid:
    each = privacy.exposures
    releases = tuple("" if math.isnan(e.releases) else f"{e.releases:.0f}" for e in each)
    return Grid(
        (
            Column("method", tuple(e.name for e in each), name=True),
            Column("top-1 ±sd", _spread([e.top1 for e in each])),
            Column("epsilon", tuple(_epsilon(e) for e in each)),
            Column("delta", tuple(_delta(e) for e in each)),
            Column("releases", releases, dropped=MEMORY),
            Column("leak", _spread([e.student_leak for e in each], "+")),
            Column("teacher's", _spread([e.teacher_leak for e in each], "+"), dropped=COST),
        )
    )


def _spread(estimates: Sequence[Estimate], sign: str = "") -> tuple[str, ...]:
    return with_error([e.mean for e in estimates], [e.sd for e in estimates], sign)


def _epsilon(exposure: Exposure) -> str:
    if exposure.infinite:
        return "infinite"
    return "none" if math.isnan(exposure.epsilon) else f"{exposure.epsilon:.4g}"


def _delta(exposure: Exposure) -> str:
    """The delta of a budget; nothing where there is no budget."""
    return "" if math.isnan(exposure.delta) or math.isnan(exposure.epsilon) else f"{exposure.delta:.0e}"
