"""New networks, each initialised from a stream of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdharness.api.staged import Placement, StagedModel
from kdharness.data.prepare import Data
from kdharness.device.device import Device
from kdharness.device.random import default_generators_kept
from kdharness.engine.initial_weights import InitialWeights
from kdharness.planning.cell import Cell
from kdharness.planning.networks import configured
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.registry.manager import Registry


class NetworkFactory:
    """Makes networks of registered models on the device."""

    def __init__(self, registry: Registry, device: Device, initial: InitialWeights) -> None:
        self.registry = registry
        self.device = device
        self.initial = initial

    def make(self, network: Mapping[str, Any], data: Data, role: str, seed: int, recipe: Recipe) -> StagedModel:
        """A network in the recipe's precision and layout, which prepares the dataset's pixels itself.

        network: what the cell's document says of it. Its initial weights are drawn from the stream of (model, role,
        seed), whatever method asks for it.
        """
        name = network["name"]
        spec = configured(self.registry.get("model", name).spec, network)
        preprocessing = spec.preprocessing or data.preprocessing
        # Methods ask for networks while their own generators are in place, which must go on as if they had not.
        own = self.device.random_state(stream("initialisation", name, role, seed))
        with default_generators_kept(self.device.default_generators()), own.active():
            made = spec.factory(data.num_classes, preprocessing.input_shape(data.input_shape))
        placement = Placement(recipe.precision, recipe.channels_last)
        return self.device.put(StagedModel(made, spec, data.input_shape, preprocessing)).place(placement)

    def start(self, cell: Cell, name: str, data: Data, role: str, seed: int, recipe: Recipe) -> StagedModel:
        """A network that begins to learn: one that is made, with the weights that its model begins with, if any."""
        network = cell.network(name)
        model = self.make(network, data, role, seed, recipe)
        if weights := network.get("weights"):
            self.initial.load(model, weights, cell.weight_files)
        return model
