"""Are two methods practically equal? Two one-sided tests at a stated margin.

Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of
average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics, 1987: that the mean difference d of n pairs,
with standard error s, lies within ± m is concluded where Student's test rejects both d <= -m and d >= m. The larger of
both p is

    p = P(T > (m - |d|) / s), T Student's with n - 1 degrees of freedom,

and p <= a holds exactly where the interval of the level 1 - 2 a lies within ± m.
"""

from __future__ import annotations

import math

from scipy import stats

from kdharness.stats.significance import ROUNDING, same_p
from kdharness.stats.summary import LEAST_FOR_INTERVAL, Estimate


def equal_p(gain: Estimate, margin: float) -> float:
    """The p of the two one-sided tests; NaN below three pairs or without a margin.

    gain: of paired differences. Those that are all the same have no spread, which from few seeds of accuracies in steps
    says little: within the margin the sign test's p, beyond it 1.
    """
    if gain.n < LEAST_FOR_INTERVAL or margin <= 0:
        return math.nan
    room = margin - abs(gain.mean)
    if gain.sd < ROUNDING:
        return same_p(gain.n) if room >= 0 else 1.0
    return float(stats.t.sf(room / (gain.sd / math.sqrt(gain.n)), gain.n - 1))
