"""Be Your Own Teacher beside public code: three steps of each preset, in float64.

vectors/byot.npz holds what the code of the journal version (ArchipLab-LinfengZhang/pytorch-self-distillation-final),
of SCAN with its gates replaced by 1 (ArchipLab-LinfengZhang/pytorch-scalable-neural-networks), and the third party's
(luanyunteng/pytorch-be-your-own-teacher) gave, with their losses, exits and optimiser, on the trunk below. Its losses
have the entropy of the soft targets taken off, which is a constant.
"""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.byot import BYOT, PRESETS
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, ModelSpec, StagedModel, StepInfo
from kdharness.api.shapes import shape_of

VECTORS = Path(__file__).parents[2] / "vectors" / "byot.npz"
CLASSES = 7
SHAPE = (3, 32, 32)
WIDTHS = (3, 4, 4, 8, 12, 16)


class Trunk(nn.Module):
    """A stem and four stages of a 3x3 convolution each, to maps of 32, 16, 8 and 4."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=1 if k < 2 else 2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()
            )
            for k, (a, b) in enumerate(pairwise(WIDTHS))
        )
        self.fc = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


SPEC = ModelSpec("trunk", Trunk, stages=tuple(f"parts.{k}" for k in (1, 2, 3, 4)), classifier="fc")


@pytest.fixture(autouse=True)
def _in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "float", Tensor.double)


def uniform(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def fill(parameters: list[nn.Parameter]) -> None:
    """The weights that the vectors began with."""
    for number, parameter in enumerate(parameters):
        drawn = uniform(number, tuple(parameter.shape))
        scale = (3 / np.prod(parameter.shape[1:])) ** 0.5
        values = 0.5 + drawn if parameter.ndim == 1 else (2 * drawn - 1) * scale
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.asarray(values)))


def made(preset: str) -> tuple[StagedModel, BYOT]:
    model = StagedModel(Trunk(CLASSES, SHAPE), SPEC, SHAPE)
    given = {"num_classes": CLASSES, "student": shape_of(model), "student_model": model, "teachers": ()}
    method = BYOT(preset=preset)
    method.build(BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)}))
    return model.double(), method.double()


def data() -> tuple[Tensor, Tensor]:
    pixels = np.random.default_rng(1000).integers(0, 256, (8, *SHAPE), dtype=np.uint8)
    return torch.from_numpy(pixels / 255.0), torch.from_numpy(np.random.default_rng(1001).integers(0, CLASSES, 8))


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_are_those_of_public_code(preset: str) -> None:
    vectors = np.load(VECTORS)
    model, method = made(preset)
    parameters = [*model.parameters(), *method.parameters()]
    # Theirs: trunk, head, exits with their linear layers, adapters.
    fill(parameters)
    images, targets = data()
    batch = Batch(images, targets, StepInfo("train", torch.tensor(0), 3, torch.tensor(0.5)), views=(images,))
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=5e-4)
    losses = []
    for _ in range(3):
        terms = method.losses(batch, model.run(images, method.reads.taps), None)
        loss = torch.stack(list(terms.values())).sum()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(losses, vectors[f"{preset}_losses"], rtol=1e-11)
    sums = [float((p.detach().numpy() * uniform(2000 + k, tuple(p.shape))).sum()) for k, p in enumerate(parameters)]
    np.testing.assert_allclose(sums, vectors[f"{preset}_weights"], rtol=1e-10, atol=1e-10)
    model.eval()
    method.eval()
    with torch.no_grad():
        named = method.predictor(model, [])(images)
    found = torch.stack([named[f"exit{number}"] for number in (1, 2, 3, 4)]).numpy()
    np.testing.assert_allclose(found, vectors[f"{preset}_logits"], rtol=1e-9, atol=1e-10)
