"""New networks, each initialised from a stream of its own."""

from __future__ import annotations

from kdharness.api.declarations import ModelSpec
from kdharness.api.staged import Placement, StagedModel
from kdharness.data.prepare import Data
from kdharness.device.device import Device
from kdharness.device.random import default_generators_kept
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.registry.manager import Registry


class NetworkFactory:
    """Makes networks of registered models on the device."""

    def __init__(self, registry: Registry, device: Device) -> None:
        self.registry = registry
        self.device = device

    def make(self, name: str, data: Data, role: str, seed: int, recipe: Recipe) -> StagedModel:
        """A network in the recipe's precision and layout, which prepares the dataset's pixels itself.

        Its initial weights are drawn from the stream of (model, role, seed), whatever method asks for it.
        """
        spec: ModelSpec = self.registry.get("model", name).spec
        preprocessing = spec.preprocessing or data.preprocessing
        # Methods ask for networks while their own generators are in place, which must go on as if they had not.
        own = self.device.random_state(stream("initialisation", name, role, seed))
        with default_generators_kept(self.device.default_generators()), own.active():
            network = spec.factory(data.num_classes, preprocessing.input_shape(data.input_shape))
        placement = Placement(recipe.precision, recipe.channels_last)
        return self.device.put(StagedModel(network, spec, data.input_shape, preprocessing)).place(placement)
