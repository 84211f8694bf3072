"""No room but `device` says which kinds of accelerator there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdharness.device.door import KINDS

CORE = Path(__file__).parents[2] / "kdharness"
WORDS = sorted(set(KINDS) - {"cpu"})
# It puts torch's switches back by torch's own names for them, whatever the device, and asks nothing of one.
SWITCHES = CORE / "process" / "backend_flags.py"


@pytest.mark.parametrize("word", WORDS)
def test_nothing_outside_the_room_names_a_kind_of_accelerator(word: str) -> None:
    named = [path for path in CORE.rglob("*.py") if re.search(rf"\b{word}\b", path.read_text(encoding="utf-8"))]
    assert named, "the room itself says the word"
    assert [path for path in named if path.relative_to(CORE).parts[0] != "device" and path != SWITCHES] == []
