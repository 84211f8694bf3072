"""The training data of a cell: whether its scenario has it, and what a method says of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kdharness.errors import UnknownName
from kdharness.planning.resolve import Resolved
from kdharness.planning.training import Setting, Training
from kdharness.protocol.private_parts import PrivatePart
from kdharness.protocol.subset_sizes import private_size, subset_names

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method


def on_own_subset(training: Training, method: Method | None) -> Training:
    """The same on the data that the method trains its student on, unless another cell requires it on other data."""
    if method is None or training.subset != "train":
        return training
    return replace(training, subset=method.trains_on)


def check_subset(resolved: Resolved, setting: Setting, subset: str) -> None:
    """UserError where the scenario has no such training data."""
    scenario = resolved.scenarios[setting.scenario]
    part = PrivatePart.of(subset)
    if part is not None:
        images = resolved.datasets[setting.dataset].info.train_size
        part.check(private_size(scenario.model_dump(), images, resolved.evaluation.validation), setting.scenario)
    elif subset not in (known := subset_names(scenario.kind)):
        raise UnknownName("subset", subset, known, f"in scenario '{setting.scenario}'")
