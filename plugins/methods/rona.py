"""Wang, Bao, Sun, Zhu, Cao, Yu, "Private Model Compression via Knowledge Distillation", AAAI 2019, arXiv 1811.05072.

A provider's teacher is trained on public and private data, the student on public data and on what the teacher says
about it, "bounded and perturbed". A public teacher, of the teacher's architecture and trained on public data alone,
gives the bound. Each phase has one loss and an Adam of its own, whose moments last from round to round:

    hint      L_H = 1 / (2 n) sum_i l_i,   l_i = |h(x_i) - r(g(x_i))|^2        summed over the map, not averaged
    distill   L_D = 1 / n     sum_i l_i,   l_i = -sum_c softmax(z_t / tau)_c log softmax(z_s / tau)_c     no tau^2
    self      L_S = 1 / n     sum_i CE(z_s, y_i)

h, g: the teacher's hint and the student's guided stage; r: a 1x1 convolution with bias; z: logits. When the teacher is
asked, and about what, says _rona_phases.py.

The bound B of a batch is the mean of the bounded quantity computed with the public teacher: it costs no privacy. Of the
mechanisms only two are differentially private (sensitivities: _privacy.py):

    loss_scalar   the authors' script: min(l_i, B) + N(0, sigma^2 B^2). The noise does not depend on the weights, so no
                  gradient contains it; the clip drops every sample above the bound. epsilon is infinite
    gate          l_i 1[l_i <= B]: what is left of loss_scalar; none: neither bound nor noise
    output        ours: each vector of probabilities, or hint map, is clipped and noised once per queried sample; noised
                  probabilities are put back on the simplex, which costs no privacy and keeps the loss bounded below
    gradient      ours: each sample's gradient is clipped, their mean noised once per batch (_sample_gradients.py)

A fixed bound, `hint_bound` or `distill_bound`, is therefore a loss l_i with loss_scalar and gate, the Euclidean norm of
a hint map or of a vector of probabilities with output, and that of one sample's gradient with gradient. What one query
is in the published budgets is not known: epsilon is stated as if each sample, each batch or each epoch were one release
of the stated noise; the mechanism's own is per sample with output, per batch with gradient.

`target_epsilon` takes the place of sigma with these two: the smallest sigma with which all releases of the schedule
stay within it at `delta`. The column x_rona_sigma has it, and x_rona_epsilon what was spent: less where a term is left
out, more where a recipe repeats images. The paper's budgets are (9.60, 1e-5) on MNIST, (9.83, 1e-6) on SVHN and (8.87,
1e-5) on CIFAR-10; what sigma and how many releases they stand for is not published.

Images are not mixed: the teacher is asked about the sample that was selected, and each release is counted as one
sample's.

The noise of the private mechanisms is secret: its generator has a new state from the system for every step, and is
stored nowhere, so that no other training gives the same student. With noise = N it is drawn from that seed, for tests:
who knows the seed can take it off again, and the budget that is stated protects nobody (noise_public is 1). Epochs that
were begun more than once, by a run that was killed or trained again, count as often.

loss_scalar is the default, since the published description and script are nothing else: `rona` is then the method as it
was published, and says that it protects nothing. Its sigma is 10 in the authors' README and 1 in their script: the
README is followed. The script selects by margin; the paper's own rule is k-center, the default here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    EpochContext,
    MethodSpec,
    NotNegative,
    Outputs,
    Pair,
    Positive,
    Reads,
    Requirement,
    Step,
    hookimpl,
)

from ._accounting import OWN_UNIT, is_private, spent
from ._budget import batches_of, sigma_for
from ._privacy import (
    NoiseSeed,
    clip_losses,
    gate_losses,
    noise_like,
    noise_source,
    project_to_simplex,
    release,
    row_norms,
)
from ._rona_losses import distill_losses, hint_losses
from ._rona_phases import ASKING, RonaPhases
from ._sample_gradients import SampleLoss, clipped_mean, mean_norm
from ._spatial import pool_to_smaller

SENSITIVE, PUBLIC = 0, 1


@dataclass(frozen=True)
class Queries:
    """A batch's queries, not yet counted. said, public: what the teachers said [N, ...]; gated: losses above B."""

    student: Outputs
    images: Tensor
    said: Tensor
    public: Tensor | None
    gated: Tensor | int = 0


class Rona(RonaPhases):
    """Distil on public data from a teacher that saw private data, bounded and perturbed."""

    name = "rona"
    paper = "Wang, Bao, Sun, Zhu, Cao, Yu, Private Model Compression via Knowledge Distillation, AAAI 2019"
    reads = Reads(teachers="many", taps=("stages",))
    terms = {"hint": "distill", "distill": "distill", "self": "task"}
    regime = "private_data"
    mixed_labels = "refuse"
    needs_scenario = "split80"
    ablations = {
        "no_bound": {"mechanism": "none"},
        "fixed_bound": {"bound": "fixed"},
        "output_noise": {"mechanism": "output"},
        "gradient_noise": {"mechanism": "gradient"},
        "random_queries": {"selection": "random"},
        "margin_queries": {"selection": "margin"},
        "all_queries": {"query_rate": 1.0},
        "shuffled_queries": {"query_order": "shuffled"},
        "asks_nothing": {"asks": False},
        "few_hint_epochs": {"hint_epochs": 10},
        "many_hint_epochs": {"hint_epochs": 80},
        "one_round": {"iterations": 1},
        "ten_rounds": {"iterations": 10},
        "small_batches": {"distill_batch_size": 128},
        "large_batches": {"distill_batch_size": 1024},
        "temperature_1": {"temperature": 1.0},
        "temperature_10": {"temperature": 10.0},
    }
    mechanism: Literal["none", "gate", "loss_scalar", "output", "gradient"] = "loss_scalar"
    sigma: NotNegative = 10.0
    target_epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    noise: NoiseSeed = "secret"
    bound: Literal["adaptive", "fixed"] = "adaptive"
    hint_bound: Positive = 100.0
    distill_bound: Positive = 1.0
    teacher_hint_stage: int = 0
    guide_stage: int = 1

    @property
    def secret_noise(self) -> bool:
        noised = is_private(self.mechanism, self.target_epsilon or self.sigma)
        return self.asks and noised and self.noise == "secret"

    @property
    def withheld(self) -> Sequence[str]:
        """Where noise comes after the losses, these are functions of what the teacher said."""
        noised = is_private(self.mechanism, self.target_epsilon or self.sigma)
        return ASKING if self.mechanism == "gradient" and noised else ()

    # -- planning and building ----------------------------------------------------------------------------------------

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        public = [Requirement(model=name, subset="public") for name in pair.teachers]
        return [*super().requires(pair), *public]

    def optimizers(self, pair: Pair) -> Sequence[str]:
        return ["adam"]

    def skip(self, context: BuildContext) -> str | None:
        if len(context.teachers) != 2:
            return f"distils one teacher, and the pair has {len(context.teachers) // 2}"
        stages = ((context.teacher, self.teacher_hint_stage), (context.student, self.guide_stage))
        for model, stage in stages:
            if not 0 <= stage < len(model.stages):
                return f"asks for stage {stage}, but '{model.name}' has stages 0 to {len(model.stages) - 1}"
            if len(model.stages[stage]) != 3:
                return f"matches maps [C, H, W], which stage {stage} of '{model.name}' does not give"
        if not self.schedule.stretches():
            return "has no phase: the epochs of all of them are 0"
        if self.target_epsilon is not None and self.mechanism not in OWN_UNIT:
            return f"has a target_epsilon, and mechanism '{self.mechanism}' is not private"
        return None

    def build(self, context: BuildContext) -> None:
        guide, hint = context.student.stages[self.guide_stage], context.teacher.stages[self.teacher_hint_stage]
        self.adapter = nn.Conv2d(guide[0], hint[0], kernel_size=1)
        nn.init.trunc_normal_(self.adapter.weight, std=0.1, a=-0.2, b=0.2)
        assert self.adapter.bias is not None
        nn.init.ones_(self.adapter.bias)
        super().build(context)
        if self.target_epsilon is not None and (releases := self.planned_releases(context)):
            self.sigma = sigma_for(self.target_epsilon, releases, self.delta)
        # Noise that reaches no student needs no secret.
        seeded = "noise" if self.noise == "secret" else f"noise {self.noise}"
        self.noise_source = noise_source(context, self.secret_noise, seeded)
        # Of teacher outputs that reached a loss that counts: samples, batches, epochs, and samples above the bound.
        # times: how often the present epoch was begun, each time with noise of its own.
        counters: list[Tensor] = [nn.Buffer(torch.zeros((), dtype=torch.int64)) for _ in range(6)]
        self.samples, self.batches, self.epochs, self.gated, self.asked, self.times = counters
        self.times.fill_(1)

    def planned_releases(self, context: BuildContext) -> int:
        """Of the private mechanisms, over the whole training, if no term is left out and no epoch is begun twice."""
        epochs = sum(phase.epochs or 0 for phase in self.phases() if phase.name in ASKING and self.asks)
        samples = self.query_count(context.subset_sizes["train"])
        if self.mechanism == "output":
            return epochs * samples
        return epochs * batches_of(samples, self.distill_batch_size or context.batch_size)

    def before_epoch(self, epoch: EpochContext) -> None:
        self.times.fill_(epoch.begun)

    # -- one step -----------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, student: Outputs, teacher: Sequence[Outputs]) -> Mapping[str, Tensor]:
        phase = batch.step.phase
        self.pending: Queries | None = None
        if phase not in ASKING or not self.asks:
            return {"self": batch.task_loss(student.logits)}
        said = self.said(phase, student, teacher[SENSITIVE])
        bounded = self.bound == "adaptive" and self.mechanism != "none"
        public = self.said(phase, student, teacher[PUBLIC]) if bounded else None
        if self.mechanism == "output":
            said = self.released(phase, said, public)
        losses = self.sample_losses(phase, student, said)
        gated: Tensor | int = 0
        if self.mechanism in ("gate", "loss_scalar"):
            losses, gated = self.sanitised(phase, student, losses, public)
        self.pending = Queries(student, batch.images, said, public, gated)
        return {phase: (0.5 if phase == "hint" else 1.0) * losses.mean()}

    def said(self, phase: str, student: Outputs, teacher: Outputs) -> Tensor:
        """What a teacher says about the batch: hint maps [N, C, H, W], or probabilities [N, classes]."""
        if phase == "distill":
            return F.softmax(teacher.logits / self.temperature, dim=1)
        return pool_to_smaller(student.stages[self.guide_stage], teacher.stages[self.teacher_hint_stage])[1]

    def sample_losses(self, phase: str, student: Outputs, said: Tensor) -> Tensor:
        """l_i [N]."""
        if phase == "distill":
            return distill_losses(student.logits, said, self.temperature)
        return hint_losses(pool_to_smaller(self.adapter(student.stages[self.guide_stage]), said)[0], said)

    def bound_of(self, phase: str, quantities: Tensor | None) -> Tensor | float:
        """B: the mean of the public teacher's quantities [N], or the fixed value."""
        if quantities is None:
            return self.hint_bound if phase == "hint" else self.distill_bound
        return quantities.detach().mean()

    def sanitised(self, phase: str, student: Outputs, losses: Tensor, public: Tensor | None) -> tuple[Tensor, Tensor]:
        """The losses bounded and, by loss_scalar, perturbed; and how many were above the bound."""
        with torch.no_grad():
            bound = self.bound_of(phase, None if public is None else self.sample_losses(phase, student, public))
            gated = (losses > bound).sum()
        if self.mechanism == "gate":
            return gate_losses(losses, bound), gated
        return clip_losses(losses, bound) + self.sigma * bound * noise_like(losses, self.noise_source), gated

    def released(self, phase: str, said: Tensor, public: Tensor | None) -> Tensor:
        bound = self.bound_of(phase, None if public is None else row_norms(public))
        noised = release(said, bound, self.sigma, phase == "distill", self.noise_source)
        return project_to_simplex(noised) if phase == "distill" else noised

    def update(self, step: Step) -> None:
        pending, self.pending = self.pending, None
        if pending is None or not step.losses:
            return super().update(step)
        self.samples += len(pending.images) * self.times
        self.gated += pending.gated
        self.batches += self.times
        self.asked.fill_(1)
        if self.mechanism == "gradient":
            return self.update_by_noised_gradient(step, pending)
        return super().update(step)

    def update_by_noised_gradient(self, step: Step, queries: Queries) -> None:
        """Clips each sample's gradient to B, adds noise to their mean, and steps."""
        ((phase, loss),) = step.losses.items()
        parameters = step.parameters[phase]
        reached = [p for p, g in zip(parameters, step.gradients(loss, phase, False), strict=True) if g is not None]
        factor = 0.5 if phase == "hint" else 1.0

        def losses(images: Tensor, said: Tensor) -> Tensor:
            return factor * self.sample_losses(phase, queries.student.model.run(images, ("stages",)), said)

        one = SampleLoss([queries.student.model, self.adapter], losses, reached)
        norm = None if queries.public is None else mean_norm(one.gradients(queries.images, queries.public))
        bound = self.bound_of(phase, norm)
        mean = clipped_mean(one.gradients(queries.images, queries.said), bound)
        step.zero_grad()
        for name, parameter in one.trained.items():
            parameter.grad = mean[name] + 2 * self.sigma * bound * noise_like(parameter, self.noise_source)
        step.apply()

    # -- accounting ---------------------------------------------------------------------------------------------------

    def after_epoch(self, epoch: EpochContext) -> None:
        self.epochs += self.asked * self.times
        self.asked.zero_()

    def measurements(self) -> Mapping[str, float]:
        counts = {"sample": int(self.samples), "batch": int(self.batches), "epoch": int(self.epochs)}
        found = spent(self.mechanism, self.sigma, self.delta, counts, noise_public=not self.secret_noise)
        if self.mechanism in ("gate", "loss_scalar") and counts["sample"]:
            found["gated_share"] = float(self.gated) / counts["sample"]
        return found


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Rona, revision=4)
