"""Whether a method can be trained on labels of mixed images. Loads no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from kdharness.api.declarations import MixedLabels
from kdharness.protocol.recipe import Recipe

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method


def reason_to_refuse(method: Method, recipe: Recipe, whose: str = "the recipe") -> str | None:
    """Why the method cannot be trained on the labels that this recipe gives it, or None. whose: what asks for it."""
    known = get_args(MixedLabels)
    if method.mixed_labels not in known:
        return f"mixed_labels of method '{method.name}' is {method.mixed_labels!r}, and not one of {', '.join(known)}"
    if not recipe.mixes:
        return None
    asked = " and ".join(f"{name} = {alpha:g}" for name in ("mixup", "cutmix") if (alpha := getattr(recipe, name)))
    if method.mixed_labels == "refuse":
        return f"{whose} mixes images ({asked}), for which '{method.name}' is not defined: mixed_labels = 'refuse'"
    if method.reads.partners != "none":
        return f"{whose} mixes images ({asked}), and '{method.name}' reads partners of one class"
    return None
