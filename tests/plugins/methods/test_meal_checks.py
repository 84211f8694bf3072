"""What every method promises, of MEAL in forms that the golden cells do not have."""

from __future__ import annotations

from collections.abc import Callable

from kdharness_plugins.methods.meal import MEAL
from kdharness_plugins.methods.meal_v2 import MEALv2

from kdharness.api import MethodSpec
from kdharness.testing import MethodCase, parametrize_with_checks

PAIR = "conv16+conv8:conv8"
DRAWN = {"teachers_used": 1, "teachers_drawn": "random"}
FORMS = [
    (MEAL, {"views": "own", "pooling": "maximum", "pooled_sizes": [5, 3]}),
    (MEAL, {"adversarial_weights": [0.5, 0, 2, 0, 1], "adv_mode": "alternate", **DRAWN}),
    (MEALv2, {"hard_label_weight": 0.5, "cutmix": 1.0, "discriminator_input": "probabilities"}),
]


@parametrize_with_checks([MethodCase(MethodSpec.of(method, revision=2), given, PAIR) for method, given in FORMS])
def test_forms_of_meal(check: Callable[[], None]) -> None:
    check()
