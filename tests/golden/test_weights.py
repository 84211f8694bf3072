"""Tiny cells of every method have the keys and, bit by bit, the final weights and losses of weights.json."""

from __future__ import annotations

import json

import pytest
import weights


@pytest.mark.parametrize("protocol", weights.PROTOCOLS)
def test_keys_and_weights_are_the_golden_ones(protocol: str) -> None:
    """After a change that was meant to change numbers: `python tests/golden/weights.py make`."""
    golden = json.loads(weights.GOLDEN.read_text(encoding="utf-8"))
    if golden["fingerprint"] != weights.fingerprint():
        pytest.skip(f"weights.json was made on {golden['fingerprint']}, this is {weights.fingerprint()}")
    found = weights.trained(protocol, weights.HERE.parent.parent, workers=1)
    assert not weights.differences(golden["cells"][protocol], found)
