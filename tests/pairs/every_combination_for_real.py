"""Every method on every standard pair, with numbers. `nox -s pairs` runs it; by its name, pytest does not find it."""

from __future__ import annotations

import pytest
from pair_world import PAIRS
from steps_on_pairs import check_steps

from kdharness.testing.rehearsal import on_the_cpu


@pytest.mark.parametrize("pair", PAIRS)
def test_a_step_of_all_methods_with_numbers(pair: str) -> None:
    with on_the_cpu() as device:
        assert len(check_steps(pair, device)) > 60
