"""Values without meaning are refused when the plan is made, methods that tell nothing on two classes skipped."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from kdharness.errors import UserError
from kdharness.registry.manager import Registry
from kdharness.testing import Lab

METHODS = Registry.load().methods
FLOATS = [
    (name, parameter.name)
    for name, found in METHODS.items()
    for parameter in found.spec.parameters
    if parameter.type_name.partition(" ")[0] == "float"
]


@pytest.mark.parametrize(("method", "name"), FLOATS)
@pytest.mark.parametrize("value", ["-1", "-0.001", "inf", "nan"])
def test_no_number_of_a_built_in_method_is_negative_or_endless(method: str, name: str, value: str) -> None:
    parameter = next(p for p in METHODS[method].spec.parameters if p.name == name)
    with pytest.raises(ValueError, match="not a valid float"):
        parameter.coerce(value)


@pytest.mark.parametrize(("method", "name"), [pair for pair in FLOATS if pair[1] == "temperature"])
def test_no_temperature_is_zero(method: str, name: str, make_lab: Callable[..., Lab]) -> None:
    with pytest.raises(UserError, match="temperature"):
        make_lab().plan(methods=(method,), settings=(f"{method}.temperature=0",))


def test_standardised_logits_tell_nothing_on_two_classes() -> None:
    method = METHODS["lskd"].spec.factory()
    assert "two classes" in method.skip(SimpleNamespace(num_classes=2))
    assert method.skip(SimpleNamespace(num_classes=3)) is None
