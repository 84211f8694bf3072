"""Optimisers of registered kinds, made as a recipe and a player say."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from kdharness.api.specs import OptimizerSpec
from kdharness.errors import CellError, UserError
from kdharness.failures import one_line
from kdharness.planning.neutral import completed_part
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import coerced
from kdharness.registry.manager import Registry

# What torch's own keep in their groups of how they step, and of where they count.
KERNELS = ("fused", "capturable")

# Layers that normalise: their weights are scales, whatever their shape.
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class OptimizerFactory:
    """Makes optimisers, in one kernel where the device and the optimiser have that.

    known: by name, the parameters of those in the cell's identity. fused: whether the device has such kernels.
    records: whether steps are recorded on the device.
    """

    def __init__(
        self, registry: Registry, known: Mapping[str, Mapping[str, Any]], fused: bool, records: bool = False
    ) -> None:
        self.registry = registry
        self.known = known
        self.fused = fused
        self.records = records

    def make(
        self, recipe: Recipe, own: Mapping[str, Any], parameters: Sequence[nn.Parameter], spared: frozenset[int]
    ) -> Optimizer:
        """own: parameters of the optimiser's that a player sets. spared: by id, what the weight decay may spare.

        CellError for an optimiser that the cell's identity does not name, and for parameters that it has not.
        """
        name = self.registry.name_of("optimizer", recipe.optimizer)
        spec = self._spec(name)
        try:
            given = {k: v.value for k, v in coerced(spec, own, "its player").items()}
        except UserError as error:
            raise CellError("MethodError", one_line(error)) from error
        values = {**completed_part(self.known[name]["parameters"], spec.parameters), **given}
        keywords = {
            "lr": recipe.lr,
            **{field: getattr(recipe, field) for field in spec.reads},
            **{p.name: p.coerce(values[p.name]) for p in spec.parameters},
            **({"fused": self.fused} if spec.fused else {}),
        }
        _check_keywords(spec, keywords)
        optimizer: object = spec.factory(_groups(recipe, parameters, spared), **keywords)
        if not isinstance(optimizer, Optimizer):
            what = f"the optimizer '{spec.name}' made a {type(optimizer).__name__}, and no torch Optimizer"
            raise CellError("OptimizerError", what)
        if hasattr(optimizer, "gradients") and "gradients" not in inspect.signature(optimizer.step).parameters:
            what = f"the optimizer '{spec.name}' has `gradients`, and its step(closure=None) takes none: it is"
            raise CellError("OptimizerError", f"{what} step(closure=None, gradients=None)")
        if self.takes_tensor(recipe):
            _make_capturable(optimizer)
        return optimizer

    def takes_tensor(self, recipe: Recipe) -> bool:
        """Whether the recipe's optimiser is to step with its learning rate as a tensor on the device."""
        return self.records and self.capturable(recipe)

    def capturable(self, recipe: Recipe) -> bool:
        """Whether a step of the recipe's optimiser can be recorded, as its spec says."""
        return self._spec(self.registry.name_of("optimizer", recipe.optimizer)).capturable

    def _spec(self, name: str) -> OptimizerSpec:
        try:
            spec: OptimizerSpec = self.registry.get("optimizer", name).spec
        except UserError as error:
            raise CellError("MethodError", one_line(error)) from error
        if name not in self.known:
            what = f"a player names the optimizer '{name}', which neither the recipe nor its optimizers() names"
            raise CellError("MethodError", f"{what} (known: {', '.join(self.known)})")
        return spec


def _check_keywords(spec: OptimizerSpec, keywords: Mapping[str, Any]) -> None:
    """CellError for a keyword that the factory does not take, with what gives it."""
    try:
        taken = inspect.signature(spec.factory).parameters.values()
    except (TypeError, ValueError):  # of some callables nobody knows
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        return
    for name in keywords:
        if name not in {parameter.name for parameter in taken}:
            left = tuple(field for field in spec.reads if field != name)
            why = f": its spec says reads={spec.reads}, and may say reads={left}" if name in spec.reads else ""
            raise CellError("OptimizerError", f"the factory of optimizer '{spec.name}' takes no '{name}'{why}")


def _groups(
    recipe: Recipe, parameters: Sequence[nn.Parameter], spared: frozenset[int]
) -> list[nn.Parameter] | list[dict[str, Any]]:
    """The parameters, in one group, or in two of which one is not decayed."""
    if recipe.decay_norms_and_biases:
        return list(parameters)
    decayed = [p for p in parameters if id(p) not in spared]
    others = [p for p in parameters if id(p) in spared]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def norms_and_biases(modules: Sequence[nn.Module]) -> frozenset[int]:
    """By id, the parameters of norms, biases, and others of one dimension or none."""
    found = set()
    for root in modules:
        for module in root.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim <= 1 or name == "bias" or isinstance(module, NORMS):
                    found.add(id(parameter))
    return frozenset(found)


def _make_capturable(optimizer: Optimizer) -> None:
    """Torch's own that count steps do so on the device then, and refuse to be recorded without."""
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = True


def restore(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Loads what `optimizer.state_dict()` gave, bit for bit: torch itself makes tensors of the parameters' type.

    By which kernels it steps is its own affair, and not that of the one that gave the state.
    """
    own = [{key: group[key] for key in KERNELS if key in group} for group in optimizer.param_groups]
    groups = [{**saved, **kept} for saved, kept in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    for number, parameter in zip(numbers, parameters, strict=True):
        if number in state["state"]:
            loaded = optimizer.state[parameter]
            optimizer.state[parameter] = tree_map(_as_saved, loaded, state["state"][number])


def _as_saved(loaded: Any, saved: Any) -> Any:
    """What was saved, where torch put what it loaded."""
    changed = getattr(loaded, "dtype", None) != getattr(saved, "dtype", None)
    return saved.to(loaded.device, copy=True) if changed else loaded
