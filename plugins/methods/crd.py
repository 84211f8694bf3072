"""Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020, arXiv 1910.10699.

    L = CE(y, z_s) + beta (L_s + L_t)
    L_s = -mean_i [ log h(x_i+) + sum_j log(1 - h(x_ij)) ],     h(x) = x / (x + K / n)
    x_ij = exp(<v_s^i, m_t^j> / tau) / Z_s                      L_t: the same with student and teacher exchanged

v_s, v_t: the pooled embeddings, each through a trained linear map to 128 dimensions and of length 1. m_s, m_t: banks
with a row of each for all n training images, uniform noise at first, moved after each step: m <- norm(0.5 m + 0.5 v).
The positive is the image's own row, the K negatives are rows of other classes. Z: n times the mean of exp(<v, m> / tau)
over the first batch, constant from then on. It belongs to the method's state, so that a resumed run goes on with it.

RepDistiller, the authors' code, is followed: beta = 0.8, K = 16384, tau = 0.07, no KD, 1e-7 added to the denominator,
banks read before they are moved, and moved by the embeddings that the loss saw. `positive = "class"` is its relaxed
mode, in which the positive is any image of the class; `"own"` its default, the exact one. The paper's negatives are
drawn from all images, with replacement. Those of the published numbers are drawn by the code's loader from the other
classes, without replacement where they suffice, and so are they here. Data of few images has fewer than K: then as many
are drawn as a class of average size leaves, and K is that number; a larger class has some of its negatives twice.

The code draws on the host and gathers rows of the banks. Here negatives are drawn on the device, one product gives the
scores of all rows, and those that were drawn are gathered from it: the same numbers. The loss is a sum over negatives,
so that nothing is sorted where a draw never repeats.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Positive,
    Reads,
    hookimpl,
)

EPS = 1e-7


def _exp_scores(anchor: Tensor, memory: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """exp(<anchor, row> / tau) of the positive's row and the negatives' [N, 1 + K]. anchor: [N, d]; memory: [n, d]."""
    scores = (anchor / temperature) @ memory.detach().T
    chosen = torch.cat([positives.unsqueeze(1), negatives], dim=1)
    return scores.gather(1, chosen).exp()


def _nce(x: Tensor, bank_size: int) -> Tensor:
    """-log h(x_+) - sum log(1 - h(x_-)), the mean over the batch. x: [N, 1 + K], the positive first."""
    noise = (x.shape[1] - 1) / bank_size
    log_both = (x + (noise + EPS)).log()
    positive = log_both[:, 0] - x[:, 0].log()
    negative = (log_both[:, 1:] - math.log(noise)).sum(dim=1)
    return (positive + negative).mean()


def crd_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    memory_student: Tensor,
    memory_teacher: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    bank_size: int,
    z_student: Tensor | float,
    z_teacher: Tensor | float,
) -> Tensor:
    """L_s + L_t, a scalar; the teacher's embedding is trained too.

    Embeddings [N, d] and banks [n, d], rows of length 1. positives, negatives: int64 [N] and [N, K], rows of the banks.
    """
    student = _exp_scores(student_embedding, memory_teacher, positives, negatives, temperature)
    teacher = _exp_scores(teacher_embedding, memory_student, positives, negatives, temperature)
    return _nce(student / z_student, bank_size) + _nce(teacher / z_teacher, bank_size)


def crd_normalisers(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    memory_student: Tensor,
    memory_teacher: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
) -> Tensor:
    """Z_s and Z_t [2] of a batch. The arguments are those of `crd_loss`."""
    student = _exp_scores(student_embedding, memory_teacher, positives, negatives, temperature)
    teacher = _exp_scores(teacher_embedding, memory_student, positives, negatives, temperature)
    return len(memory_student) * torch.stack([student.mean(), teacher.mean()])


def _moved(rows: Tensor, embedding: Tensor, momentum: float) -> Tensor:
    return F.normalize(momentum * rows + (1 - momentum) * embedding, dim=1)


def crd_update(memory: Tensor, embedding: Tensor, positives: Tensor, momentum: float) -> Tensor:
    """The bank [n, d] with the rows `positives` (int64 [N]) moved towards the embedding [N, d]."""
    return memory.index_copy(0, positives, _moved(memory[positives], embedding, momentum))


def draw_negatives(own: Tensor, count: int, generator: torch.Generator, enough: bool = False) -> Tensor:
    """int64 [N, count]: for each sample random rows of other classes, none twice while there are enough of them.

    own: bool [N, n], which rows are of the sample's class. Where others are fewer than `count`, they come again in the
    same order. enough: whether all samples are known to have as many; then the order is any, in half the time.
    """
    keys = torch.rand(own.shape, generator=generator, device=own.device).masked_fill_(own, -1)
    drawn = keys.topk(count, dim=1, sorted=not enough).indices
    if enough:
        return drawn
    others = own.shape[1] - own.sum(dim=1, keepdim=True)
    return drawn.gather(1, torch.arange(count, device=own.device) % others)


class CRD(Method):
    """Contrast embeddings against banks of all training images.

    positive: "own", the same image in the other network's bank; "class", an image of its class.
    negatives: K.
    """

    name = "crd"
    paper = "Tian, Krishnan, Isola, Contrastive Representation Distillation, ICLR 2020"
    reads = Reads(taps=("embedding",), indices=True)
    terms = {"ce": "task", "crd": "distill"}
    mixed_labels = "refuse"  # a bank has one row for an image, and none for a mixed one
    ablations = {"relaxed": {"positive": "class"}, "fewer_negatives": {"negatives": 4096}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 0.8
    dimension: Annotated[int, Field(ge=1, le=2**16)] = 128
    negatives: Annotated[int, Field(ge=1)] = 16384
    temperature: Positive = 0.07
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.5
    positive: Literal["own", "class"] = "own"

    def build(self, context: BuildContext) -> None:
        size = context.subset_sizes["train"]
        self.embed_student = nn.Linear(context.student.embedding or 0, self.dimension)
        self.embed_teacher = nn.Linear(context.teacher.embedding or 0, self.dimension)
        bound = 1 / math.sqrt(self.dimension / 3)
        self.memory_student: Tensor = nn.Buffer(torch.empty(size, self.dimension).uniform_(-bound, bound))
        self.memory_teacher: Tensor = nn.Buffer(torch.empty(size, self.dimension).uniform_(-bound, bound))
        self.labels: Tensor = nn.Buffer(context.targets.clone())
        self.normalisers: Tensor = nn.Buffer(torch.zeros(2))  # until the first batch gives them
        self.drawn = min(self.negatives, size - size // context.num_classes)
        self.enough = bool(context.class_sizes) and self.drawn <= size - max(context.class_sizes)
        self.generator = context.generator("negatives", device=True)

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The rows of a batch's positives [N] and negatives [N, K]."""
        own = torch.eq(self.labels, batch.targets.unsqueeze(1))
        negatives = draw_negatives(own, self.drawn, self.generator, self.enough)
        if self.positive == "own":
            return _indices(batch), negatives
        keys = torch.rand(own.shape, generator=self.generator, device=own.device)
        return keys.masked_fill(~own, -1).argmax(dim=1), negatives

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        v_s = F.normalize(self.embed_student(student.embedding), dim=1)
        v_t = F.normalize(self.embed_teacher(teacher.embedding), dim=1)
        positives, negatives = self.draw(batch)
        size = len(self.memory_student)
        x_s = _exp_scores(v_s, self.memory_teacher, positives, negatives, self.temperature)
        x_t = _exp_scores(v_t, self.memory_student, positives, negatives, self.temperature)
        first = size * torch.stack([x_s.detach().mean(), x_t.detach().mean()])
        z = torch.where(self.normalisers > 0, self.normalisers, first)
        self.seen = (v_s.detach(), v_t.detach(), z)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "crd": self.weight * (_nce(x_s / z[0], size) + _nce(x_t / z[1], size)),
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: Outputs) -> None:
        """Moves the banks by the embeddings that the loss saw; the linear maps are others by now."""
        v_s, v_t, z = self.seen
        indices = _indices(batch)
        for memory, v in ((self.memory_student, v_s), (self.memory_teacher, v_t)):
            memory.index_copy_(0, indices, _moved(memory[indices], v, self.momentum))
        self.normalisers.copy_(z)


def _indices(batch: Batch) -> Tensor:
    assert batch.indices is not None  # for `reads` declares them
    return batch.indices


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CRD, revision=2)
