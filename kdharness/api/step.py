"""One step of training, as a method sees it: the batch, where training stands, and the update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from kdharness.api.labels import CROSS_ENTROPY, Mixing, TaskLoss

# Gradients by name, one for each parameter of a player; None where it does not depend on that parameter.
NamedGradients = Mapping[str, Sequence[Tensor | None]]
Advance = Callable[[str, NamedGradients | None], None]


@dataclass(frozen=True)
class StepInfo:
    """Where a step stands in its phase.

    What changes from step to step is a 0-d tensor on the device: whoever replays a recorded step sees it change. What
    is plain Python is the same in all steps of a phase.

    phase: the phase's name.
    epoch: 0-d int64, counted from 0 within the phase.
    epochs: the phase's length.
    progress: 0-d float32, the share of the phase done, in [0, 1].
    rates: by player, its learning rate, 0-d float32.
    """

    phase: str
    epoch: Tensor
    epochs: int
    progress: Tensor
    rates: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """One batch of training data, shared by all cells of a group: never change it in place.

    images: float [N, C, H, W], pixels in [0, 1]: the first view that the student sees.
    targets: int64 [N]; of a mixed image the label with the larger share.
    step: where training stands.
    views: all views, in the order declared, whoever sees them.
    indices: int64 [N], positions in the cell's training subset; None unless declared.
    partners: [N, C, H, W], images of the same classes, in the view of `images`; None unless declared.
    soft_targets: float [N, classes], each label with its share; None unless the images are mixed.
    mixing: how the images are mixed; None where they are not.
    criterion: the recipe's loss on labels, which `task_loss` applies.
    """

    images: Tensor
    targets: Tensor
    step: StepInfo
    views: tuple[Tensor, ...]
    indices: Tensor | None = None
    partners: Tensor | None = None
    soft_targets: Tensor | None = None
    mixing: Mixing | None = None
    criterion: TaskLoss = CROSS_ENTROPY

    def task_loss(self, logits: Tensor, reduction: Literal["mean", "none"] = "mean") -> Tensor:
        """The recipe's loss of logits [N, classes] on this batch's labels, mixed or not, with its label smoothing.

        A scalar; with reduction "none" one loss per sample [N].
        """
        return self.criterion(logits, self.targets, self.soft_targets, reduction)


class Step:
    """One training step of one cell, as `Method.update` sees it.

    losses: the terms by name, without those that the cell leaves out.
    tags: "task", "distill" or "player", by name of the term.
    optimizers: by name of the player.
    parameters: by name of the player.
    recompute: runs the student anew and returns the terms with its present weights, for alternate updates in which the
        second player must see what the first one changed.
    info: where training stands.
    advance: makes one step of the named player's optimiser, with gradients by name or with those in `.grad`; the
        harness gives one that clips as the recipe says. None: the optimiser's own `step`.
    """

    def __init__(
        self,
        losses: Mapping[str, Tensor],
        tags: Mapping[str, str],
        optimizers: Mapping[str, Optimizer],
        parameters: Mapping[str, Sequence[Tensor]],
        recompute: Callable[[], Mapping[str, Tensor]],
        info: StepInfo,
        advance: Advance | None = None,
    ) -> None:
        self.losses = losses
        self.tags = tags
        self.optimizers = optimizers
        self.parameters = parameters
        self.recompute = recompute
        self.info = info
        self.advance: Advance = self._plainly if advance is None else advance

    def total(self, *tags: str) -> Tensor:
        """The sum of all terms, or of those with one of `tags`. A zero without gradient when there is none."""
        chosen = [loss for name, loss in self.losses.items() if not tags or self.tags[name] in tags]
        if not chosen:
            return torch.zeros((), device=self.info.progress.device)
        return torch.stack([loss.float() for loss in chosen]).sum() if len(chosen) > 1 else chosen[0]

    def zero_grad(self) -> None:
        """Clears the gradients of all players."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def backward(self, loss: Tensor | None = None, retain_graph: bool = False) -> None:
        """Back-propagates `loss`, by default the total. Terms that no trained part influences are passed over."""
        loss = self.total() if loss is None else loss
        if loss.requires_grad:
            loss.backward(retain_graph=retain_graph)

    def gradients(self, loss: Tensor, player: str = "main", retain_graph: bool = True) -> list[Tensor | None]:
        """The gradient of `loss` with respect to each parameter of `player`, without touching `.grad`. None where it
        does not depend on it.
        """
        if not loss.requires_grad:
            return [None] * len(self.parameters[player])
        return list(
            torch.autograd.grad(loss, list(self.parameters[player]), retain_graph=retain_graph, allow_unused=True)
        )

    def apply(self, *players: str, gradients: NamedGradients | None = None) -> None:
        """One optimiser step for the named players, or for all.

        gradients: of one player, by name ("task", "distill"), each as `gradients` gives it, for an optimiser that
        treats them apart. Their sum replaces what is in `.grad`, which observers see. The recipe's clipping is of the
        sum, and scales all alike.
        """
        names = players or tuple(self.optimizers)
        if gradients is not None and len(names) != 1:
            raise TypeError(f"apply(gradients=...) is for one player; name it, of {', '.join(self.optimizers)}")
        for name in names:
            self.advance(name, gradients)

    def _plainly(self, player: str, gradients: NamedGradients | None) -> None:
        if gradients is not None:
            raise TypeError("gradients by name need the harness's own step")
        self.optimizers[player].step()
