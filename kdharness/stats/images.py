"""What the sampling of test images adds to intervals over seeds, of metrics that bring an interval of their own.

With v the mean over seeds of the variance that each seed's own interval over images stands for, and s the standard
deviation over n seeds, the variance of the mean is taken as

    s^2 / n + v      where all seeds meet the same images,
    s^2 / n + v / 2  where each seed draws private images of its own (s holds their sampling),

with degrees of freedom by Welch and Satterthwaite. v / 2, for the test images are the same for all seeds: they are at
most half of v where there are no fewer of them than of private ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import stats

from kdharness.stats.summary import CONFIDENCE, Estimate

NORMAL = float(stats.norm.ppf((1 + CONFIDENCE) / 2))


def variance_of(low: float, high: float) -> float:
    """The variance of a number whose 95 % interval is this."""
    return float(((high - low) / (2 * NORMAL)) ** 2)


def image_variance(variances: Sequence[float], seeding: str) -> float:
    """What images add to the variance of a mean over seeds; 0 where no variance is known.

    variances: of each seed, over its images. seeding: the column.
    """
    known = [each for each in variances if not math.isnan(each)]
    if not known:
        return 0.0
    return sum(known) / len(known) / (2 if "data" in seeding.split("+") else 1)


def images_alone(value: float, variance: float) -> Estimate:
    """Of one network: its interval is over images and says nothing of others."""
    half = NORMAL * math.sqrt(variance)
    return Estimate(1, value, math.nan, value - half, value + half)
