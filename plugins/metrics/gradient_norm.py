"""How much gradient reaches each stage of the student while it trains: do early stages still learn (vanishing
gradients)?

    gradient_norm_stage<k> = || dL/dw ||_2 over the parameters w from the output of stage k - 1 to that of stage k

L is the training loss of a batch: the norm is that of the gradient which the optimiser is given, before weight decay
and momentum, after clipping or noise where a method adds some. The value of an epoch is the mean over its updates, that
of a cell the mean over its epochs. stage1 begins at the images; `gradient_norm_head` is what comes after the deepest
stage. There is no value for a stage that nothing trains, nor for methods that write weights without an optimiser.

A method whose loss has more or heavier terms has larger gradients everywhere. `gradient_norm_early_share` does not
depend on that: the norm of stage 1 over that of all of the student's parameters, from 0 to 1.

That early stages of networks which teach themselves get larger gradients is a claim of Zhang et al., "Be Your Own
Teacher", ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from kdharness.api import MetricSpec, StagedModel, hookimpl


class GradientNorm:
    """The norms of the updates of an epoch, added up on the device."""

    def __init__(self, student: StagedModel) -> None:
        sections = student.sections() if student.num_stages else [list(student.parameters())]
        names = [f"stage{number}" for number in range(1, len(sections))] + ["head"]
        self.sections = {name: section for name, section in zip(names, sections, strict=True) if section}
        self.sums: dict[str, Tensor] = {}
        self.updates: dict[str, int] = {}

    def before_update(self, parameters: Sequence[nn.Parameter]) -> None:
        moved, squares = {id(p) for p in parameters}, dict[str, Tensor]()
        for name, section in self.sections.items():
            gradients = [p.grad for p in section if id(p) in moved and p.grad is not None]
            if gradients:
                squares[name] = nn.utils.get_total_norm(gradients).square()
        for name, square in squares.items():
            self._add(name, square.sqrt())
        if "stage1" in squares:
            total = torch.stack(list(squares.values())).sum()
            self._add("early_share", torch.where(total > 0, squares["stage1"] / total, 0.0).sqrt())

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.updates[name] = self.updates.get(name, 0) + 1

    def values(self) -> Mapping[str, float]:
        found = {f"gradient_norm_{name}": total.item() / self.updates[name] for name, total in self.sums.items()}
        self.sums, self.updates = {}, {}
        return found


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        "gradient_norm",
        observe=GradientNorm,
        summary="norm of the training loss' gradient by stage of the student, mean over updates",
        splits=("train",),
        paper="Zhang, Song, Gao, Chen, Bao, Ma, Be Your Own Teacher, ICCV 2019",
        on_request=True,
    )
