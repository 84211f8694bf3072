"""Cases of a single-file plugin: the models and optimisers beside a method, and modules that a case names."""

from __future__ import annotations

from collections.abc import Callable

import broken_methods as broken
import pytest
import single_file_plugin

from kdharness.api import MethodSpec
from kdharness.errors import UserError
from kdharness.testing import MethodCase, parametrize_with_checks

SPEC = MethodSpec.of(single_file_plugin.WithItsOwnOptimizer)
PAIR = "tiny_teacher:own_net"


@parametrize_with_checks([MethodCase(SPEC, pair=PAIR)])
def test_a_method_beside_its_model_and_optimiser(check: Callable[[], None]) -> None:
    check()


def test_hooks_beside_the_method_are_known_without_a_word() -> None:
    case = MethodCase(SPEC, pair=PAIR)
    assert case.cell.student == "own_net"
    assert case.registry.optimizers["halved"].spec.reads == ()
    assert "halved" not in MethodCase(MethodSpec.of(broken.Sound)).registry.optimizers


def test_modules_that_a_case_names() -> None:
    sound = MethodSpec.of(broken.Sound)
    with pytest.raises(UserError, match="unknown model 'own_net'"):
        MethodCase(sound, pair=PAIR).cell  # noqa: B018
    assert MethodCase(sound, pair=PAIR, plugins=(single_file_plugin,)).cell.student == "own_net"
    # Its own module among them: it is the same plugin.
    assert not MethodCase(SPEC, plugins=(single_file_plugin,)).registry.clashes
