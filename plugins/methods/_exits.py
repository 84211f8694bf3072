"""Early exits for staged networks: a bottleneck and a linear layer after a section, and the networks that they make.

Sections are numbered from 0 here; exit n of a name counts from 1, as papers do, the last being the network's own head.
Shapes are (C, H, W) of one sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import ModelShape, Outputs, StagedModel

Shape = tuple[int, ...]


def reduction(shallow: Shape, deep: Shape) -> tuple[int, int]:
    """How many times higher and wider the shallow map is, rounded."""
    return max(1, round(shallow[1] / deep[1])), max(1, round(shallow[2] / deep[2]))


def convolutional_bottleneck(shallow: Shape, deep: Shape, width: int, middle: int) -> nn.Sequential:
    """1x1 to `middle` channels, k x k with stride k, 1x1 to `width`; k brings the shallow map to the size of the deep
    one. Each convolution has a bias and is followed by batch normalisation and ReLU.
    """
    k = reduction(shallow, deep)
    sizes = ((shallow[0], middle, (1, 1)), (middle, middle, k), (middle, width, (1, 1)))
    layers: list[nn.Module] = []
    for inputs, outputs, size in sizes:
        layers += [nn.Conv2d(inputs, outputs, size, stride=size), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class SeparableConvs(nn.Sequential):
    """Two depthwise separable 3x3 convolutions with batch normalisation and ReLU, the first with the stride."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        layers: list[nn.Module] = []
        for channels, step in ((inputs, stride), (outputs, (1, 1))):
            layers += [
                nn.Conv2d(inputs, inputs, 3, stride=step, padding=1, groups=inputs, bias=False),
                nn.Conv2d(inputs, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class AttentionGate(nn.Module):
    """f times sigmoid(u(r(s(f)))): s separable convolutions with stride 2, which end in batch normalisation and ReLU; r
    another batch normalisation and ReLU; u bilinear upsampling to the size of f.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = SeparableConvs(channels, channels, (2, 2))
        self.rescaled = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        attention = self.rescaled(self.convolutions(x))
        upsampled = F.interpolate(attention, size=x.shape[2:], mode="bilinear", align_corners=False)
        return x * upsampled.sigmoid()


def separable_bottleneck(stages: Sequence[Shape], width: int) -> nn.Sequential:
    """An attention gate, then for each later section separable convolutions to its channels and size; stages: the
    exit's own and all later ones. The last ends in `width` channels.
    """
    layers: list[nn.Module] = [AttentionGate(stages[0][0])]
    outputs = [*(stage[0] for stage in stages[1:-1]), width]
    for shallow, deep, channels in zip(stages[:-1], stages[1:], outputs, strict=True):
        layers.append(SeparableConvs(shallow[0], channels, reduction(shallow, deep)))
    return nn.Sequential(*layers)


class Exit(nn.Module):
    """A classifier on a section's output [N, C, H, W]: bottleneck, average pooling to [N, width], linear layer."""

    def __init__(self, bottleneck: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.fc = nn.Linear(width, num_classes)
        for module in bottleneck.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, stage: Tensor) -> Tensor:
        pooled: Tensor = self.bottleneck(stage).mean(dim=(2, 3))
        return pooled

    def forward(self, stage: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.features(stage))
        return logits


@dataclass(frozen=True)
class Cuts:
    """Where all sections of a network but the last end.

    paths: of the modules that end them, shallow to deep; none: the ends of its stages.
    """

    paths: tuple[str, ...] = ()

    def shapes(self, model: ModelShape) -> list[Shape]:
        """Of what the sections give, the last one's too."""
        if not self.paths:
            return list(model.stages)
        return [*(model.modules[path] for path in self.paths), model.stages[-1]]

    def features(self, outputs: Outputs) -> list[Tensor]:
        """What the sections but the last gave."""
        if not self.paths:
            return list(outputs.stages[:-1])
        return [outputs.module(path) for path in self.paths]

    def run(self, model: StagedModel, images: Tensor) -> Outputs:
        """One run of the network that keeps them."""
        return model.run(images, modules=self.paths) if self.paths else model.run(images, taps=("stages",))

    def trunk(self, model: StagedModel, section: int, images: Tensor) -> Tensor:
        """What a section gives, computing nothing beyond it."""
        return model.trunk(self.paths[section] if self.paths else section, images)


class EarlyExit(nn.Module):
    """The network cut off after section number `section`, and the exit there."""

    def __init__(self, model: StagedModel, exit_: Exit, section: int, cuts: Cuts) -> None:
        super().__init__()
        self.model = model
        self.exit = exit_
        self.section = section
        self.cuts = cuts

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.exit(self.cuts.trunk(self.model, self.section, images))
        return logits


class ExitEnsemble(nn.Module):
    """The mean of the logits of the network's own head and of the given exits, by section number; one run of the
    network.
    """

    def __init__(self, model: StagedModel, exits: Mapping[int, Exit], cuts: Cuts) -> None:
        super().__init__()
        self.model = model
        self.sections = tuple(exits)
        self.exits = nn.ModuleList(exits.values())
        self.cuts = cuts

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.cuts.run(self.model, images)
        features = self.cuts.features(outputs)
        shallow = [exit_(features[number]) for number, exit_ in zip(self.sections, self.exits, strict=True)]
        return torch.stack([outputs.logits, *(logits.float() for logits in shallow)]).mean(dim=0)


class Exits(nn.Module):
    """The network with an exit after every section but the last; its outputs by name, the deepest first."""

    def __init__(self, model: StagedModel, exits: Sequence[Exit], cuts: Cuts) -> None:
        super().__init__()
        self.model = model
        self.exits = nn.ModuleList(exits)
        self.cuts = cuts

    def ensembles(self) -> dict[str, tuple[int, ...]]:
        """Name: numbers of the shallow exits in it; the network's own head is in each."""
        count = len(self.exits)
        found = {"ensemble": tuple(range(count))}
        if count >= 3:
            found["ensemble_deepest3"] = (count - 2, count - 1)
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.cuts.run(self.model, images)
        features = self.cuts.features(outputs)
        shallow = [exit_(section).float() for exit_, section in zip(self.exits, features, strict=True)]
        named = {f"exit{len(shallow) + 1}": outputs.logits}
        named |= {f"exit{number}": logits for number, logits in enumerate(shallow, start=1)}
        for name, members in self.ensembles().items():
            named[name] = torch.stack([outputs.logits, *(shallow[k] for k in members)]).mean(dim=0)
        return named

    def networks(self) -> dict[str, nn.Module]:
        """By the same names, the network that gives that output and computes nothing else."""
        exits: list[Exit] = list(self.exits)  # type: ignore[arg-type]
        found: dict[str, nn.Module] = {f"exit{len(exits) + 1}": self.model}
        found |= {f"exit{k + 1}": EarlyExit(self.model, exit_, k, self.cuts) for k, exit_ in enumerate(exits)}
        for name, members in self.ensembles().items():
            found[name] = ExitEnsemble(self.model, {k: exits[k] for k in members}, self.cuts)
        return found
