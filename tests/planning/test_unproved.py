"""Methods whose proof lacks something: no part of `all`, there by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning.asked import ask
from kdharness.planning.resolve import Resolved, resolve
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

BASE: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4"],
    "seeds": [0],
    "recipe": {"epochs": 2},
}
PLUGIN = """
from kdharness.api import Method, MethodSpec, hookimpl


class Bold(Method):
    name = "bold"
    unproved = "no run beside the code of its authors"


class Odd(Method):
    name = "odd"
    unproved = 3


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Bold), MethodSpec.of(Odd)]
"""
LINE = "method 'bold' is unproved, and no part of 'all': no run beside the code of its authors"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugins") / "bold.py"
    path.write_text(PLUGIN)
    return Registry.load([path])


def found(registry: Registry, content: Mapping[str, Any], **selection: Any) -> Resolved:
    return resolve(ask(parse({**BASE, **content}, "small.toml"), Selection(**selection)), registry)


@pytest.mark.parametrize(
    ("content", "selection"),
    [({"run": ["all"]}, {}), ({"run": ["kd"]}, {"methods": ("all",)})],
    ids=["file", "command"],
)
def test_all_leaves_it_out(registry: Registry, content: dict[str, Any], selection: dict[str, Any]) -> None:
    resolution = found(registry, content, **selection)
    names = [chosen.name for chosen in resolution.chosen]
    assert set(registry.methods) - set(names) == {"bold"}
    assert LINE not in resolution.warnings


@pytest.mark.parametrize("named", [("bold",), ("all", "bold")])
def test_by_name_it_runs_and_a_line_says_what_it_lacks(registry: Registry, named: tuple[str, ...]) -> None:
    resolution = found(registry, {}, methods=named)
    assert "bold" in [chosen.name for chosen in resolution.chosen]
    assert resolution.warnings.count(LINE) == 1


def test_its_variants_are_not_said_of_it_again(registry: Registry) -> None:
    resolution = found(registry, {"run": ["bold"], "variants": [{"method": "bold", "without": ["bold"]}]})
    assert len(resolution.chosen) == 2
    assert resolution.warnings.count(LINE) == 1


def test_what_is_no_text_is_refused_and_costs_the_others_nothing(registry: Registry) -> None:
    assert "bold" in registry.methods
    (line,) = registry.warnings
    assert line.endswith("method 'odd': unproved must be a text, got a int")
    with pytest.raises(UserError, match="unproved must be a text"):
        found(registry, {}, methods=("odd+kd",))
