"""Xu, Liu, Li, Loy, "Knowledge Distillation Meets Self-Supervision", ECCV 2020, arXiv 2006.07114.

    head:   L = CE(j, A^t[i, :])                             j: the image of which i is a rotation
    train:  L = l1 CE(y, z_s) + l2 KD(z_s, z_t) + l3 KD'(z~_s, z~_t) + l4 KD'(A^s, A^t)
    A[i, j] = cos(h(e~_i), h(e_j))                           [3 N, N]
    KD(a, b) = T^2 KL(softmax(b / T) || softmax(a / T)), the mean over rows; KD' over the rows that are kept

z, e: logits and embeddings of the N upright images, z~, e~: of their rotations by 90, 180 and 270 degrees; h: a
perceptron of two layers of the embedding's width, one for each network. The teacher's is trained first, without labels,
to tell which upright image a rotated one is of, and the teacher itself stays as it is; the student's trains with the
student. What the teacher says of rotated images is often wrong. Rows are ranked by how far down it puts the right
answer, the label or j: all that have it on top are kept, and of the others a share, the least wrong first.

The authors' code is followed: l = 0.1, 0.9, 2.7, 10, T = 4, 4, 4, 0.5, all wrong rows kept of z~ and 75 % of A, the
same for all pairs; 60 epochs for the teacher's head beside the 240 of training, at a learning rate of 0.05 that falls
to a tenth after half of them and after three quarters. A batch and its rotations are run as one, so that normalisation
sees all four. There each rotation has a crop of its own; here it is the crop that is rotated. torchdistill has the same
loss with l1 = 1 and a third of the epochs for the head (ImageNet), where mirroring is each rotation's own as well.

Of rows with equal ranks the first are kept, where the authors' sort leaves open which. How many are kept depends on the
batch: a mask says which, so that no shape does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    MixedLabels,
    NotNegative,
    Outputs,
    Phase,
    Player,
    Positive,
    Reads,
    hookimpl,
)

from .kd import kd_loss

ROTATIONS = 4
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def rotated(images: Tensor) -> Tensor:
    """[4 N, C, H, W]: each of the square images [N, C, H, W] upright, followed by its three rotations."""
    return torch.stack([torch.rot90(images, turn, (2, 3)) for turn in range(ROTATIONS)], dim=1).flatten(0, 1)


def upright(rows: Tensor) -> Tensor:
    """Of rows [4 N, ...] as `rotated` orders them those of upright images, [N, ...]."""
    return rows[::ROTATIONS]


def turned(rows: Tensor) -> Tensor:
    """Those of rotations, [3 N, ...]."""
    rotations: Tensor = rows.unflatten(0, (-1, ROTATIONS))[:, 1:]
    return rotations.flatten(0, 1)


def sskd_similarities(representations: Tensor) -> Tensor:
    """A [3 N, N]: cosines of rotations (rows) and upright images. representations: [4 N, D]."""
    directions = F.normalize(representations, dim=1)
    return turned(directions) @ upright(directions).T


def origins(similarities: Tensor) -> Tensor:
    """j of each row of A [3 N, N]: int64 [3 N]."""
    return torch.arange(similarities.shape[1], device=similarities.device).repeat_interleave(ROTATIONS - 1)


def sskd_head_loss(similarities: Tensor) -> Tensor:
    """The contrast that trains the teacher's head, a scalar. similarities: A [3 N, N] of images [N, C, H, W]."""
    return F.cross_entropy(similarities, origins(similarities))


def _kept(scores: Tensor, answers: Tensor, keep: float) -> Tensor:
    """Which rows of scores [N, K] are kept: bool [N]."""
    rank = (scores > scores.gather(1, answers.unsqueeze(1))).sum(dim=1)
    right = (rank == 0).sum()
    # In float64, where a count of rows times a share is what it is in Python.
    count = right + ((len(rank) - right).double() * keep).floor()
    return rank.argsort(stable=True).argsort() < count


def sskd_loss(
    student_scores: Tensor, teacher_scores: Tensor, answers: Tensor, temperature: float, keep: float
) -> Tensor:
    """KD' of scores [N, K], a scalar; zero where no row is kept.

    answers: int64 [N], each row's right column. keep: the share of the rows that the teacher has wrong.
    """
    log_s = F.log_softmax(student_scores / temperature, dim=1)
    log_t = F.log_softmax(teacher_scores.detach() / temperature, dim=1)
    divergences = temperature**2 * F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1)
    kept = _kept(teacher_scores.detach(), answers, keep).to(divergences.dtype)
    return (kept * divergences).sum() / kept.sum().clamp(min=1)


def make_head(width: int) -> nn.Sequential:
    """h, from embeddings [N, width] to as many values."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


class SSKD(Method):
    """Learn what the teacher says of rotated images, and how alike a trained head finds them to upright ones.

    kd_weight, transformed_weight, similarity_weight: l2, l3, l4. transformed_keep, similarity_keep: the share that is
    kept of the rows of z~ and A that the teacher has wrong.
    """

    name = "sskd"
    paper = "Xu, Liu, Li, Loy, Knowledge Distillation Meets Self-Supervision, ECCV 2020"
    reads = Reads(taps=("embedding",))
    terms = {
        "ce": "task",
        "kd": "distill",
        "transformed": "distill",
        "similarity": "distill",
        "contrast": "player",
    }
    ablations = {
        "all_kept": {"transformed_keep": 1.0, "similarity_keep": 1.0},
        "right_kept": {"transformed_keep": 0.0, "similarity_keep": 0.0},
    }
    ce_weight: NotNegative = 0.1
    kd_weight: NotNegative = 0.9
    transformed_weight: NotNegative = 2.7
    similarity_weight: NotNegative = 10.0
    temperature: Positive = 4.0
    transformed_temperature: Positive = 4.0
    similarity_temperature: Positive = 0.5
    transformed_keep: Share = 1.0
    similarity_keep: Share = 0.75
    head_share: Positive = 0.25
    head_lr: Positive = 0.05

    @property
    def mixed_labels(self) -> MixedLabels:
        # Where all rows are kept it is the same which of them are wrong.
        return "mix" if self.transformed_keep == 1 else "larger"

    def skip(self, context: BuildContext) -> str | None:
        _, height, width = context.input_shape
        return None if height == width else f"images of {height}x{width} pixels have another shape when they are turned"

    def build(self, context: BuildContext) -> None:
        self.teacher_head = make_head(context.teacher.embedding or 0)
        self.student_head = make_head(context.student.embedding or 0)

    def phases(self) -> Sequence[Phase]:
        head = Player("teacher_head", ("method.teacher_head",), {"lr": self.head_lr})
        falling = {"schedule": "multistep", "milestones": (0.5, 0.75), "gamma": 0.1, "warmup_epochs": 0.0}
        return [
            Phase("head", fraction=self.head_share, players=(head,), recipe=falling),
            Phase("train", players=(Player(parts=("student", "method.student_head")),)),
        ]

    def transform(self, batch: Batch, generator: torch.Generator) -> Batch:
        soft = batch.soft_targets
        return replace(
            batch,
            images=rotated(batch.images),
            targets=batch.targets.repeat_interleave(ROTATIONS),
            soft_targets=None if soft is None else soft.repeat_interleave(ROTATIONS, dim=0),
            # A box that was pasted lies elsewhere in each rotation.
            mixing=None,
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        if batch.step.phase == "head":
            return {"contrast": sskd_head_loss(sskd_similarities(self.teacher_head(teacher.embedding)))}
        with torch.no_grad():
            wanted = sskd_similarities(self.teacher_head(teacher.embedding))
        found = sskd_similarities(self.student_head(student.embedding))
        own, its = student.logits, teacher.logits
        transformed = sskd_loss(
            turned(own), turned(its), turned(batch.targets), self.transformed_temperature, self.transformed_keep
        )
        similarity = sskd_loss(found, wanted, origins(wanted), self.similarity_temperature, self.similarity_keep)
        return {
            "ce": self.ce_weight * upright(batch.task_loss(own, reduction="none")).mean(),
            "kd": self.kd_weight * kd_loss(upright(own), upright(its), self.temperature),
            "transformed": self.transformed_weight * transformed,
            "similarity": self.similarity_weight * similarity,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SSKD, revision=1)
