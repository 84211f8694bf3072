"""How well features tell the classes apart: the scatter within classes over that between them, on the test split.

    SSE = sum over samples of || x_i - m_c(i) ||^2     SSB = sum over classes of n_c || m_c - m ||^2

x_i: a sample's features [D]; m_c: the mean of its class, of n_c samples; m: the mean of all. Lower is better. SSE/SSB
is the measure of Zhang et al., "Be Your Own Teacher", ICCV 2019, for the features of each exit; scaling or rotating all
features does not change it. It has no value where the classes' means coincide (dead features) and none is given.

`class_separation`: of the features that an output's classifier reads, for each named output: the input of the linear
layer whose output is the network's. Averages of outputs have no such layer, and no number.
`class_separation_stage<k>`: of the student's features after its k-th stage, averaged over positions; they are told of
the main output.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api import Inspection, MetricSpec, hookimpl

# Differences of class means below this share of the features' size are rounding.
ROUNDING = 1e-12


def scatter_ratio(features: Tensor, targets: Tensor) -> float | None:
    """SSE/SSB. features: [N, D]; targets: int64 [N]. None where SSB is zero."""
    x = features.double()
    within, between, mean = 0.0, 0.0, x.mean(dim=0)
    for label in targets.unique():
        own = x[targets == label]
        centre = own.mean(dim=0)
        within += (own - centre).square().sum().item()
        between += len(own) * (centre - mean).square().sum().item()
    return within / between if between > ROUNDING * x.square().sum().item() else None


def pooled(features: Tensor) -> Tensor:
    """[N, C, H, W] as [N, C]; [N, D] as it is."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features


def stage_features(cell: Inspection) -> list[Tensor]:
    """For each stage of the student the pooled features [N, C] of the test split."""
    parts: list[list[Tensor]] = []
    for images, _ in cell.batches("test"):
        with cell.precision():
            outputs = cell.student.run(images, taps=("stages",))
        parts.append([pooled(stage).cpu() for stage in outputs.stages])
    return [torch.cat(stage) for stage in zip(*parts, strict=True)]


def classifier_features(network: nn.Module, images: Tensor) -> Tensor | None:
    """What the classifier of a network reads, [N, D]: the input of the linear layer whose output is the network's; None
    where there is none.
    """
    calls: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((inputs[0], output))

    handles = [part.register_forward_hook(keep) for part in network.modules() if isinstance(part, nn.Linear)]
    try:
        result: Any = network(images)
    finally:
        for handle in handles:
            handle.remove()
    logits = next(iter(result.values())) if isinstance(result, dict) else result
    logits = logits.float()  # a network gives float32, whatever its layers give
    same = (x for x, output in reversed(calls) if output.shape == logits.shape and torch.equal(output.float(), logits))
    return next(same, None)


def embeddings(cell: Inspection, network: nn.Module) -> Tensor | None:
    """The classifier's features of the test split, [N, D]."""
    parts = []
    for images, _ in cell.batches("test"):
        with cell.precision():
            features = classifier_features(network, images)
        if features is None or features.ndim != 2:
            return None
        parts.append(features.float().cpu())
    return torch.cat(parts)


def class_separation(cell: Inspection) -> dict[str, dict[str, float]]:
    """By output, its own ratio; with those of the main output, the ratios of the stages."""
    targets = torch.cat([labels.cpu() for _, labels in cell.batches("test")])
    found: dict[str, dict[str, float]] = {}

    def tell(output: str, name: str, features: Tensor | None) -> None:
        ratio = None if features is None else scatter_ratio(features, targets)
        if ratio is not None:
            found.setdefault(output, {})[name] = ratio

    for name, network in cell.networks().items():
        tell(name, "class_separation", embeddings(cell, network))
    if cell.student.lacks(("stages",)) is None:
        for number, features in enumerate(stage_features(cell), start=1):
            tell(cell.main, f"class_separation_stage{number}", features)
    return found


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        "class_separation",
        inspect=class_separation,
        summary="scatter of features within classes over that between them, by stage and by output",
        higher_is_better=False,
        unit="ratio",
        paper="Zhang, Song, Gao, Chen, Bao, Ma, Be Your Own Teacher, ICCV 2019",
        on_request=True,
    )
