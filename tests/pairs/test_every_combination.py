"""Every method takes its steps on every standard pair, on the device without numbers, or is skipped with a reason."""

from __future__ import annotations

import pytest
from pair_world import PAIRS, built_in, planned_on_pairs
from remembered_shapes import RememberedShapes
from steps_on_pairs import check_steps

from kdharness.testing.rehearsal import meta_device

TOKEN = "needs a student with a distillation token"
CHANNELS = "compares channels one by one"
OF_EQUAL_CHANNELS = {
    "wrn_40_2:wrn_16_2",
    "resnet56:resnet20",
    "resnet110:resnet20",
    "resnet110:resnet32",
    "resnet32x4:resnet8x4",
    "vgg13:vgg8",
}
# By method: the pairs on which it is skipped, and how the reason begins.
SKIPPED = {
    "deit": (set(PAIRS), TOKEN),
    "fsp": (set(PAIRS) - OF_EQUAL_CHANNELS, CHANNELS),
    "kdsvd": (set(PAIRS) - OF_EQUAL_CHANNELS, CHANNELS),
}
# In no clean scenario: what they train on is split into a private and a public part.
OF_PRIVATE_DATA = {"dp_sgd", "pate", "rona"}


@pytest.fixture(scope="module")
def remembered() -> RememberedShapes:
    return RememberedShapes()


def test_every_method_is_planned_on_every_pair() -> None:
    proved = {name for name, found in built_in().methods.items() if not found.spec.factory.unproved}
    assert {pair: set(planned) for pair, planned in planned_on_pairs(built_in()).items()} == dict.fromkeys(
        PAIRS, proved - OF_PRIVATE_DATA
    )


def test_what_is_skipped_is_skipped_for_a_known_reason() -> None:
    skips: dict[str, dict[str, str]] = {}
    for pair, planned in planned_on_pairs(built_in()).items():
        for method, each in planned.items():
            if each.skip:
                skips.setdefault(method, {})[pair] = each.skip
    assert {method: set(reasons) for method, reasons in skips.items()} == {m: found[0] for m, found in SKIPPED.items()}
    for method, reasons in skips.items():
        assert not [reason for reason in reasons.values() if not reason.startswith(SKIPPED[method][1])]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_step_of_all_methods(pair: str, remembered: RememberedShapes) -> None:
    # Before the mode is on: what is loaded or tried for a plan takes back modes that it finds.
    planned = planned_on_pairs(built_in())[pair]
    with meta_device() as device, remembered:
        taken = check_steps(pair, device)
    assert set(taken) == {method for method in planned if pair not in SKIPPED.get(method, ((), ""))[0]}
