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


@pytest.mark.parametrize("given", ["", "a", "-1", "1-", "4-2", "1.5", [], [-1], [1.5], ["1"], True, [True], None, {}])
def test_what_is_no_seed(given):
    with pytest.raises(ValueError, match="seed"):
        parse_seeds(given)
