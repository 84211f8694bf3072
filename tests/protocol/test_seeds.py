"""Seeds as they are written."""

from __future__ import annotations

import pytest

from kdharness.protocol.seeds import parse_seeds


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,3", (0, 3)),
        ("3", (3,)),
        (7, (7,)),
        ("0-2, 7 ,9-10", (0, 1, 2, 7, 9, 10)),
        ([4, 2], (4, 2)),
        ("1,1,0-2", (1, 0, 2)),
    ],
)
def test_seeds(given, seeds):
    assert parse_seeds(given) == seeds


@pytest.mark.parametrize("given", [str(2**63 - 1), f"{2**63 - 1}-{2**63 - 1}", [2**63 - 1]])
def test_the_largest_seed(given):
    assert parse_seeds(given) == (9223372036854775807,)


@pytest.mark.parametrize("given", [str(2**63), [2**63], 2**64, f"0-{2**63}", "9" * 5000])
def test_a_seed_beyond_63_bits(given):
    with pytest.raises(ValueError, match=r"^a seed is at most 9223372036854775807 \(63 bits\)$"):
        parse_seeds(given)


@pytest.mark.parametrize("given", ["0-10000", f"0-{2**62}", "0-9999,20000", list(range(10_001))])
def test_more_seeds_than_a_run_has(given):
    with pytest.raises(ValueError, match=r"^these are \d+ seeds, and a run has at most 10000$"):
        parse_seeds(given)
    assert len(parse_seeds("0-9999")) == 10_000


@pytest.mark.parametrize(
    "given", ["²", "٣", "", "a", "-1", "1-", "4-2", "1.5", [-1], [1.5], ["1"], True, [True], None, {}]
)
def test_what_is_no_seed(given):
    with pytest.raises(ValueError, match="seed"):
        parse_seeds(given)
