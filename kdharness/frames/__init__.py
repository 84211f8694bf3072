"""Results as tidy pandas frames, each column with its dtype, unit and meaning: what `kdharness.load` gives.

It loads no torch, but for `Results.describe` of columns that plugins added.
"""

from __future__ import annotations

from kdharness.frames.dictionary import columns as columns
from kdharness.frames.loading import load as load
from kdharness.frames.outputs import Outputs as Outputs
from kdharness.frames.results import Results as Results

__all__ = ["Outputs", "Results", "columns", "load"]
