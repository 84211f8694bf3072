"""What networks normalise by, where nobody has published it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in units of pixel value / 255, exact before they are rounded."""
    counts = [np.zeros(256, dtype=np.int64) for _ in range(images.shape[1])]
    for start in range(0, len(images), 1024):
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + 1024, channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    means = [float(np.average(values, weights=count)) for count in counts]
    variances = [float(np.average((values - m) ** 2, weights=count)) for m, count in zip(means, counts, strict=True)]
    # A channel without contrast is only centred.
    return tuple(round(m, 4) for m in means), tuple(round(v**0.5, 4) or 1.0 for v in variances)
