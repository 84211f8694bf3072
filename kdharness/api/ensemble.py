"""Several networks as one: what a method that reads one teacher is shown of a pair with several."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from kdharness.api.declarations import ModelSpec
from kdharness.api.functional import log_mean_probability
from kdharness.api.staged import StagedModel


class MeanProbability(nn.Module):
    """images [N, C, H, W] to the logarithm [N, classes] of the members' mean class probabilities."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        return log_mean_probability([member(images).float() for member in self.members])


def ensemble_of(models: Sequence[StagedModel]) -> StagedModel:
    """The networks as one that holds them, without stages, pre-activations or an embedding."""
    network = MeanProbability(models)
    spec = ModelSpec("ensemble", lambda num_classes, input_shape: network)
    return StagedModel(network, spec, models[0].image_shape)
