"""Tracks: methods by one setting for all pairs, or by what their authors published for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

# The ranking track: the defaults of methods.
DEFAULT_TRACK = "default"
PUBLISHED = "published"

# What may be asked for, and the tracks that it means.
TrackChoice = Literal["default", "published", "both"]
TRACKS: Mapping[str, tuple[str, ...]] = {
    "default": (DEFAULT_TRACK,),
    "published": (PUBLISHED,),
    "both": (DEFAULT_TRACK, PUBLISHED),
}
assert tuple(TRACKS) == get_args(TrackChoice)
