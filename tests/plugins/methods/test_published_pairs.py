"""What built-in methods hold of their authors' parameters by pair: pairs of models that there are, values that fit."""

from __future__ import annotations

import pytest

from kdharness.planning.catalogue import catalogue
from kdharness.planning.tracks import EVERY, published_of
from kdharness.protocol.pair import parse_pair
from kdharness.protocol.variant import defaults
from kdharness.registry.manager import Registry

REGISTRY = Registry.load()
PUBLISHED = [(name, pair) for name, found in REGISTRY.methods.items() for pair in found.spec.factory.published]


@pytest.mark.parametrize(("name", "pair"), PUBLISHED)
def test_published_parameters_are_usable_and_differ_from_the_defaults(name: str, pair: str) -> None:
    method = catalogue("method", REGISTRY).by_name[name]
    models = parse_pair("resnet56:resnet20" if pair == EVERY else pair)
    assert {*models.teachers, models.student} <= set(REGISTRY.models)
    values, fault = published_of(method, models)
    assert fault == ""
    usual = defaults(method.spec)
    assert any(value.value != usual[key].value for key, value in values.items())
