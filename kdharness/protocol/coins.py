"""Whose membership a coin decides: how many private images are candidates, and which of them are members."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from kdharness.protocol.seeds import stream


def coins(scenario: Mapping[str, Any], private: int) -> tuple[bool, ...]:
    """One for each candidate, by its rank: whether it is a member, each with probability one half and by itself.

    scenario: the definition of a split, as in a cell's document. private: images that teachers might train on.
    """
    count = round(scenario.get("candidates", 0.0) * private)
    bits = random.Random(stream("membership", scenario["seed"], scenario.get("coin", 0))).getrandbits(count)
    return tuple(bool(bits >> k & 1) for k in range(count))
