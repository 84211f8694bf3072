"""Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang, "Deep Learning with Differential Privacy", CCS 2016, arXiv
1607.00133: no distillation, the student itself is trained on public and private images, with noise on its gradients.

    g = 1 / L (sum_{i in lot} g_i / max(1, |g_i| / C) + N(0, sigma^2 C^2))

g_i: the gradient of CE(z_s(x_i), y_i). Lots are Poisson's: each image of the set, public or private, is in a lot with
probability q = L / N, and L, not the size of the lot, divides. So is the budget stated (_lots.py), for sets that differ
by one image more or less, as in the paper; the number of images is no secret. An image of the lot weighs once: recipes
that repeat or mix images are refused.

As in the paper's CIFAR experiment, which starts from convolutions that public images trained, the student first learns
from public images in the ordinary way, for `public_share` of the epochs: ours is half of them, and 0 is the paper's
MNIST. Then batch normalisation keeps the statistics of these; without such a phase networks that have it are skipped.
The paper's sigma is 4 in the middle of its three; C is 4 on MNIST and 3 on CIFAR-10; its lots have about sqrt(N) images
or more, here the recipe's batch size. The optimiser is the recipe's: it sees noised gradients alone.

`target_epsilon` takes the place of sigma. No curve has the loss on private images, and a benchmark's validation images
are public: neither is in the budget.

Noise and lots are secret, or with noise = N drawn from that seed, for tests: then they protect nothing (noise_public is
1). Lots of epochs that were begun more than once count as often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    EpochContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Phase,
    Positive,
    Reads,
    StagedModel,
    Step,
    hookimpl,
)

from ._lots import Lots, lots_epsilon, lots_sigma, renyi_epsilon
from ._privacy import NoiseSeed, noise_like, noise_source
from ._sample_gradients import Gradients, SampleLoss, clipped_sum

PUBLIC, PRIVATE = "public", "private"


@dataclass(frozen=True)
class LotBatch:
    """A batch of a lot: of its `size` images, so many at its begin belong to it. ends: whether the lot ends with it."""

    size: int
    images: int
    ends: bool


class DpSgd(Method[None]):
    """Train the student itself on private images, with each one's gradient clipped and noise on their sum.

    sigma: deviation of the noise, in clip norms. lot_size: L; None: the recipe's batch size.
    """

    name = "dp_sgd"
    paper = "Abadi et al., Deep Learning with Differential Privacy, CCS 2016"
    reads = Reads(teachers="none")
    withheld = (PRIVATE,)
    regime = "private_data"
    mixed_labels = "refuse"
    needs_scenario = "split80"
    trains_on = "teacher"
    capturable = False  # counts the batches of a lot
    ablations = {
        "no_public_phase": {"public_share": 0.0},
        "no_noise": {"sigma": 0.0},
    }
    sigma: NotNegative = 4.0
    clip_norm: Positive = 4.0
    lot_size: Annotated[int, Field(ge=1)] | None = None
    public_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    target_epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    noise: NoiseSeed = "secret"

    @property
    def terms(self) -> Mapping[str, str]:
        return {**({PUBLIC: "task"} if self.public_share else {}), PRIVATE: "task"}

    @property
    def secret_noise(self) -> bool:
        return self.is_private and self.noise == "secret"

    @property
    def is_private(self) -> bool:
        return self.target_epsilon is not None or self.sigma > 0

    def skip(self, context: BuildContext) -> str | None:
        if PUBLIC not in context.subset_sizes:
            return "trains on private images, and the scenario keeps none"
        norms = nn.modules.batchnorm._BatchNorm
        if not self.public_share and any(isinstance(m, norms) for m in context.student_model.modules()):
            return "has no public phase, and batch normalisation in private batches mixes their images"
        return None

    def phases(self) -> Sequence[Phase]:
        lots: Lots | None = getattr(self, "lots", None)  # they are known when the cell is built
        size = None if lots is None else lots.batch_size
        private = Phase(PRIVATE, fraction=1 - self.public_share, batch_size=size, order="selection")
        if not self.public_share:
            return [private]
        return [Phase(PUBLIC, fraction=self.public_share, subset="public"), private]

    def build(self, context: BuildContext) -> None:
        images = context.subset_sizes["teacher"]
        self.lots = Lots(images, min(images, self.lot_size or context.batch_size))
        epochs = max(1, round((1 - self.public_share) * context.epochs))
        if self.target_epsilon is not None:
            planned = epochs * self.lots.per_epoch
            self.sigma = lots_sigma(self.target_epsilon, self.lots.rate, planned, self.delta)
        self.lot_source = noise_source(context, self.secret_noise, f"lots {self.noise}", device=False)
        self.noise_source = noise_source(context, self.secret_noise, f"noise {self.noise}")
        self.begun, self.batches, self.total = 1, list[LotBatch](), Gradients()
        released: Tensor = nn.Buffer(torch.zeros((), dtype=torch.int64))
        self.released = released

    # -- lots ---------------------------------------------------------------------------------------------------------

    def before_epoch(self, epoch: EpochContext) -> None:
        self.begun = epoch.begun
        if epoch.phase == PRIVATE:
            epoch.student.eval()  # batch normalisation keeps the statistics of public images

    def select(self, epoch: EpochContext) -> Tensor | None:
        """The epoch's lots, one after the other, each filled up to whole batches with images that do not count."""
        if epoch.phase == PUBLIC:
            return None
        size = self.lots.batch_size
        found: list[Tensor] = []
        self.batches = []
        for lot in self.lots.drawn(self.lot_source):
            parts = lot.split(size)
            self.batches += [LotBatch(size, len(part), ends=k == len(parts) - 1) for k, part in enumerate(parts)]
            found += [*parts, torch.zeros(size - len(parts[-1]), dtype=torch.int64)]
        self.batches.reverse()
        return torch.cat(found)

    # -- one step -----------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> Mapping[str, Tensor]:
        self.pending = batch, student.model
        return {batch.step.phase: batch.task_loss(student.logits)}

    def update(self, step: Step) -> None:
        batch, model = self.pending
        if batch.step.phase == PRIVATE and step.losses:
            self.update_by_lots(step, batch, model)
        else:
            super().update(step)

    def update_by_lots(self, step: Step, batch: Batch, model: StagedModel) -> None:
        """Adds the batch to its lot; steps where the lot ends."""
        count = len(batch.targets)
        # A step that is tried by itself has a lot of its own.
        of_lot = self.batches.pop() if self.batches else LotBatch(count, count, ends=True)
        if count != of_lot.size:
            raise ValueError("an image of a lot must weigh once: the recipe's repeats must be 1")

        def losses(images: Tensor, targets: Tensor) -> Tensor:
            return batch.criterion(model.run(images).logits, targets, None, "none")

        one = SampleLoss([model], losses, list(step.parameters["main"]))
        images, targets = batch.images[: of_lot.images], batch.targets[: of_lot.images]
        if of_lot.images:
            self.add(clipped_sum(one.gradients(images, targets), self.clip_norm)[0])
        if of_lot.ends:
            self.release(step, one)

    def add(self, gradients: Gradients) -> None:
        """To those of the lot's batches before."""
        for name, gradient in gradients.items():
            before = self.total.get(name)
            self.total[name] = gradient if before is None else before + gradient

    def release(self, step: Step, one: SampleLoss) -> None:
        """The lot's sum with noise, over L; then a step."""
        step.zero_grad()
        for name, parameter in one.trained.items():
            noised = self.sigma * self.clip_norm * noise_like(parameter, self.noise_source)
            if name in self.total:  # an empty lot is noise alone
                noised = noised + self.total[name]
            parameter.grad = noised / self.lots.size
        self.total = {}
        self.released += self.begun
        step.apply()

    # -- accounting ---------------------------------------------------------------------------------------------------

    def measurements(self) -> Mapping[str, float]:
        released, rate = int(self.released), self.lots.rate
        found = {
            "releases": float(released),
            "sigma": self.sigma,
            "lot_rate": rate,
            "epsilon_infinite": float(released > 0 and not self.sigma),
        }
        if self.sigma or not released:
            found |= {"epsilon": lots_epsilon(self.sigma, rate, released, self.delta), "delta": self.delta}
        if self.sigma:
            found["noise_public"] = float(not self.secret_noise)
        if self.sigma and released:
            found["epsilon_moments"] = renyi_epsilon(self.sigma, rate, released, self.delta)
        return found


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DpSgd, revision=1)
