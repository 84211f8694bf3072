"""Steps with numbers: all methods on a pair of each kind of network, and three methods on every pair.

The rest is `nox -s pairs`: every_combination_for_real.py.
"""

from __future__ import annotations

import pytest
from pair_world import PAIRS
from steps_on_pairs import check_steps

from kdharness.testing.rehearsal import on_the_cpu

# Of residual networks, of VGG, and of a student with grouped convolutions.
SMALL = ("resnet56:resnet20", "vgg13:vgg8", "wrn_40_2:shuffle_v1")
# What they read: logits; stages and an attention over them; embeddings, with a memory of the whole data set.
THREE = ("kd", "reviewkd", "crd")


@pytest.mark.parametrize("pair", SMALL)
def test_a_step_of_all_methods_with_numbers(pair: str) -> None:
    with on_the_cpu() as device:
        assert set(THREE) < set(check_steps(pair, device))


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair not in SMALL])
def test_a_step_of_three_methods_with_numbers(pair: str) -> None:
    with on_the_cpu() as device:
        assert check_steps(pair, device, THREE) == THREE
