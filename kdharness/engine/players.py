"""The players of a phase: which parts of a cell each trains, and with which optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdharness.api.declarations import Phase, Player
from kdharness.api.method import Method
from kdharness.api.staged import StagedModel
from kdharness.errors import CellError
from kdharness.protocol.recipe import Recipe


class Players:
    """Who trains what in the phase that a cell is in. What wanted no gradient when it was built is never trained.

    parameters, optimizers: by player's name, the latter of players that have parameters;
    resting: modules that other phases train and this one does not: they run in eval mode, so that not a bit of them
    changes (running statistics too);
    phase_recipe: the recipe with what the phase replaces.
    """

    def __init__(self, student: StagedModel, method: Method, recipe: Recipe, fused: bool = False) -> None:
        self.student = student
        self.method = method
        self.recipe = recipe
        self.fused = fused
        self.parameters: dict[str, list[nn.Parameter]] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.resting: list[nn.Module] = []
        self.phase_recipe = recipe
        self._lasting: dict[str, Optimizer] = {}
        self._recipes: dict[str, Recipe] = {}
        self._trainable = {id(p) for p in self.all_parameters() if p.requires_grad}

    def all_parameters(self) -> list[nn.Parameter]:
        """The parameters of the student and of the method, each once."""
        found = [*self.student.parameters(), *self.method.parameters()]
        return list({id(p): p for p in found}.values())

    def enter(self, phase: Phase) -> None:
        """Makes the phase's optimisers, and freezes what it does not train."""
        self.phase_recipe = self.recipe.replaced(phase.recipe)
        self._recipes = {p.name: self.phase_recipe.replaced(p.optimizer) for p in phase.players}
        self.parameters = {p.name: self._parameters_of(p, phase) for p in phase.players}
        trained = {id(p) for parameters in self.parameters.values() for p in parameters}
        for parameter in self.all_parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self.resting = self._untrained(trained)
        self.optimizers = {p.name: self._optimizer(p, phase) for p in phase.players if self.parameters[p.name]}

    def _parameters_of(self, player: Player, phase: Phase) -> list[nn.Parameter]:
        others = [path for other in phase.players for path in other.parts if path not in player.parts]
        taken = {id(p) for path in others if path.startswith("method.") for p in self._at(path, phase)}
        found = [p for path in player.parts for p in self._at(path, phase) if path != "method" or id(p) not in taken]
        return [p for p in {id(p): p for p in found}.values() if id(p) in self._trainable]

    def _at(self, path: str, phase: Phase) -> list[nn.Parameter]:
        """The parameters at a part's path."""
        root, _, rest = path.partition(".")
        owner: nn.Module | None = {"student": self.student.network, "method": self.method}.get(root)
        try:
            part = owner.get_submodule(rest) if owner is not None else None
        except AttributeError:
            value = getattr(owner, rest, None)
            if isinstance(value, nn.Parameter):
                return [value]
            part = None
        if part is None:
            raise CellError("MethodError", f"phase '{phase.name}' names the part '{path}', which does not exist")
        return list(part.parameters())

    def _untrained(self, trained: set[int]) -> list[nn.Module]:
        owned = {m: {id(p) for p in m.parameters()} for part in (self.student, self.method) for m in part.modules()}
        return [m for m, own in owned.items() if own & self._trainable and not own & trained]

    def _optimizer(self, player: Player, phase: Phase) -> Optimizer:
        """A new one; for a lasting player the one that it left behind in an earlier phase."""
        parameters, recipe = self.parameters[player.name], self._recipes[player.name]
        if not player.lasting:
            return make_optimizer(recipe, parameters, self.fused)
        if player.name not in self._lasting:
            self._lasting[player.name] = make_optimizer(recipe, parameters, self.fused)
        optimizer = self._lasting[player.name]
        if {id(p) for p in parameters} != {id(p) for group in optimizer.param_groups for p in group["params"]}:
            what = f"the lasting player '{player.name}' has other parts in phase '{phase.name}' than before"
            raise CellError("MethodError", what)
        return optimizer

    def set_rates(self, epoch: int, epochs: int) -> None:
        """The learning rates of epoch number `epoch` (from 0) of a phase of `epochs` epochs."""
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self._recipes[name].lr_at(epoch, epochs)

    def held(self) -> list[Tensor]:
        """What the optimisers keep between steps."""
        optimizers = {id(o): o for o in (*self.optimizers.values(), *self._lasting.values())}.values()
        return [v for o in optimizers for s in o.state.values() for v in s.values() if isinstance(v, Tensor)]

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
            "lasting": {name: o.state_dict() for name, o in self._lasting.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The phases up to the present one have been entered."""
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        for name, optimizer in self._lasting.items():
            optimizer.load_state_dict(state["lasting"][name])


def make_optimizer(recipe: Recipe, parameters: Sequence[nn.Parameter], fused: bool = False) -> Optimizer:
    """The recipe's optimiser over `parameters`. fused: in one kernel, where the device has that."""
    if recipe.optimizer == "sgd":
        momentum, nesterov = recipe.momentum, recipe.nesterov
        return torch.optim.SGD(
            parameters,
            lr=recipe.lr,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=recipe.weight_decay,
            fused=fused,
        )
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
