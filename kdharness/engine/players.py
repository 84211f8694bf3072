"""The players of a phase: which parts of a cell each trains, with which optimiser, and how one of its steps is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdharness.api.declarations import Phase, Player
from kdharness.api.method import Method
from kdharness.api.staged import StagedModel
from kdharness.api.step import NamedGradients
from kdharness.engine.effect import Effect
from kdharness.engine.gradients import clip, gather
from kdharness.engine.optimizers import OptimizerFactory, norms_and_biases
from kdharness.engine.phase_clock import Place
from kdharness.engine.rates import Paced, Rate
from kdharness.errors import CellError
from kdharness.planning.phases import no_part, phase_faults, recipe_fields
from kdharness.protocol.recipe import Recipe


class Players:
    """Who trains what in the phase that a cell is in. What wanted no gradient when it was built is never trained.

    parameters, optimizers: by player's name, the latter of players that have parameters;
    rates: by the same names as optimizers, the learning rate as a 0-d tensor on the device, of which a step that is
        recorded there makes use;
    paced: by the same names, the optimisers with their rates;
    resting: modules that other phases train and this one does not: they run in eval mode, so that not a bit of them
    changes (running statistics too);
    all_trained: whether there is nothing that the phase does not train;
    phase_recipe: the recipe with what the phase replaces;
    effect: what the steps of an epoch do to the student, where that is watched.
    """

    def __init__(
        self,
        student: StagedModel,
        method: Method,
        recipe: Recipe,
        factory: OptimizerFactory,
        device: torch.device,
    ) -> None:
        self.student = student
        self.method = method
        self.recipe = recipe
        self.factory = factory
        self.device = device
        self.rates: dict[str, Tensor] = {}
        self.paced: dict[str, Paced] = {}
        self.parameters: dict[str, list[nn.Parameter]] = {}
        self.optimizers: dict[str, Optimizer] = {}
        self.resting: list[nn.Module] = []
        self.all_trained = False
        self.phase_recipe = recipe
        self.effect = Effect(student.parameters())
        self._lasting: dict[str, Paced] = {}
        self._recipes: dict[str, Recipe] = {}
        self._trainable = {id(p) for p in self.all_parameters() if p.requires_grad}
        self._spared = norms_and_biases((student, method))

    def all_parameters(self) -> list[nn.Parameter]:
        """The parameters of the student and of the method, each once."""
        found = [*self.student.parameters(), *self.method.parameters()]
        return list({id(p): p for p in found}.values())

    def enter(self, phase: Phase) -> None:
        """Makes the phase's optimisers, and freezes what it does not train."""
        for fault in phase_faults(phase, self.student.network):
            raise CellError("MethodError", fault)
        self.phase_recipe = self.recipe.replaced(phase.recipe)
        self._recipes = {p.name: self.phase_recipe.replaced(recipe_fields(p.optimizer)) for p in phase.players}
        self.parameters = {p.name: self._parameters_of(p, phase) for p in phase.players}
        trained = {id(p) for parameters in self.parameters.values() for p in parameters}
        for parameter in self.all_parameters():
            parameter.requires_grad_(id(parameter) in trained)
        self.resting = self._untrained(trained)
        self.all_trained = all(id(p) in trained for p in self.all_parameters())
        self.paced = {p.name: self._paced(p, phase) for p in phase.players if self.parameters[p.name]}
        self.optimizers = {name: paced.optimizer for name, paced in self.paced.items()}
        self.rates = {name: paced.rate.tensor for name, paced in self.paced.items()}

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
            raise CellError("MethodError", no_part(phase, path, self.student.network, self.method))
        return list(part.parameters())

    def _untrained(self, trained: set[int]) -> list[nn.Module]:
        owned = {m: {id(p) for p in m.parameters()} for part in (self.student, self.method) for m in part.modules()}
        return [m for m, own in owned.items() if own & self._trainable and not own & trained]

    def _paced(self, player: Player, phase: Phase) -> Paced:
        """A new one; for a lasting player the one that it left behind in an earlier phase."""
        parameters = self.parameters[player.name]
        if not player.lasting:
            return self._made(player)
        if player.name not in self._lasting:
            self._lasting[player.name] = self._made(player)
        paced = self._lasting[player.name]
        if {id(p) for p in parameters} != {id(p) for group in paced.optimizer.param_groups for p in group["params"]}:
            what = f"the lasting player '{player.name}' has other parts in phase '{phase.name}' than before"
            raise CellError("MethodError", what)
        return paced

    def _made(self, player: Player) -> Paced:
        own = {key: value for key, value in player.optimizer.items() if key not in Recipe.model_fields}
        recipe, rate = self._recipes[player.name], Rate(self.device)
        optimizer = self.factory.make(recipe, own, self.parameters[player.name], self._spared)
        self.effect.follow(optimizer, rate)
        return Paced(optimizer, rate, self.factory.takes_tensor(recipe))

    def unrecordable(self) -> str:
        """Why no step of the phase can be recorded, whatever the method does; "" where it can."""
        for name in self.optimizers:
            recipe = self._recipes[name]
            if not self.factory.capturable(recipe):
                what = f"the optimizer '{recipe.optimizer}' of player '{name}' takes its learning rate as a number"
                return f"{what}: its spec does not say capturable=True"
        return ""

    # -- one step -----------------------------------------------------------------------------------------------------

    def set_rates(self, place: Place) -> None:
        """The learning rates of the step that begins."""
        for name, paced in self.paced.items():
            paced.set_rate(self._recipes[name].lr_at(place.epoch, place.epochs, place.step, place.steps))

    def advance(self, name: str, gradients: NamedGradients | None) -> None:
        """One step of a player's optimiser. gradients: by name, each parameter's; None: what is in `.grad`."""
        optimizer, parameters = self.optimizers[name], self.parameters[name]
        parts = None if gradients is None else gather(name, optimizer, parameters, gradients)
        clip(parameters, self._recipes[name].clip_norm, parts)
        if parts is None:
            optimizer.step()
        else:
            step: Callable[..., object] = optimizer.step
            step(gradients=parts)

    # -- state --------------------------------------------------------------------------------------------------------

    def held(self) -> list[Tensor]:
        """What the optimisers keep between steps."""
        optimizers = {id(p.optimizer): p.optimizer for p in (*self.paced.values(), *self._lasting.values())}.values()
        return [v for o in optimizers for s in o.state.values() for v in s.values() if isinstance(v, Tensor)]

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizers": {name: paced.state_dict() for name, paced in self.paced.items()},
            "lasting": {name: paced.state_dict() for name, paced in self._lasting.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The phases up to the present one have been entered."""
        for name, paced in self.paced.items():
            paced.load_state_dict(state["optimizers"][name])
        for name, paced in self._lasting.items():
            paced.load_state_dict(state["lasting"][name])
