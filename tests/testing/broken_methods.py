"""A sound method, and methods that each break one promise. What breaks it stands in the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdharness.api import (
    Batch,
    BuildContext,
    EpochContext,
    Method,
    Outputs,
    Pair,
    Phase,
    Reads,
    Requirement,
    StagedModel,
    Step,
    log_mean_probability,
)


class Sound(Method):
    """Soft targets with an adapter of its own, noise, a counter, and two outputs."""

    name = "sound"
    reads = Reads(taps=("stages", "embedding"), indices=True, views=("recipe", "standard"))
    terms = {"ce": "task", "kd": "distill", "first": "distill"}
    mixed_labels = "mix"
    ablations = {"cold": {"temperature": 1.0}}
    temperature: float = 2.0

    def build(self, context: BuildContext) -> None:
        self.adapter = nn.Conv2d(context.student.stages[0][0], context.teacher.stages[0][0], 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.noise = context.generator("noise", device=True)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        scale = 1 + 0.1 * torch.rand((), generator=self.noise, device=student.logits.device) + 0.01 * self.steps
        soft, target = (x.logits / self.temperature for x in (student, teacher))
        return {
            "ce": batch.task_loss(student.logits),
            "kd": scale * F.kl_div(soft.log_softmax(1), target.softmax(1), reduction="batchmean"),
            "first": F.mse_loss(self.adapter(student.stages[0]), teacher.stages[0]),
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
        self.steps += 1

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> nn.Module:
        return WithTeacher(student, teachers[0])

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return {"student": student}


class WithTeacher(nn.Module):
    def __init__(self, student: nn.Module, teacher: nn.Module) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        both = [self.student(images), self.teacher(images)]
        return {"student": both[0], "both": log_mean_probability(both)}


class TwoPhases(Sound):
    """Sound too: the adapter alone, then the student."""

    name = "two_phases"
    terms = {"ce": "task", "first": "distill"}

    def phases(self) -> Sequence[Phase]:
        return [Phase("adapt", epochs=1), Phase("learn", epochs=1)]

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        found = super().losses(batch, student, teacher)
        return {"first": found["first"]} if batch.step.phase == "adapt" else {"ce": found["ce"]}


class Unserved(Sound):
    """Says on the meta device that it is not for these models."""

    name = "unserved"

    def skip(self, context: BuildContext) -> str | None:
        return "asks for a larger teacher"


# -- losses ------------------------------------------------------------------------------------------------------------


class NoMapping(Sound):
    name = "no_mapping"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        return F.cross_entropy(student.logits, batch.targets)


class VectorTerm(Sound):
    name = "vector_term"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        return {"ce": F.cross_entropy(student.logits, batch.targets, reduction="none")}


class InfiniteTerm(Sound):
    name = "infinite_term"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        return super().losses(batch, student, teacher) | {"first": student.logits.sum() / 0}


class NoGradient(Sound):
    name = "no_gradient"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        return {name: term.detach() for name, term in super().losses(batch, student, teacher).items()}


class UnknownTag(Sound):
    name = "unknown_tag"
    terms = {"ce": "tasks", "kd": "distill", "first": "distill"}


class UndeclaredTerm(Sound):
    name = "undeclared_term"
    terms = {"ce": "task", "kd": "distill"}


class TermThatNeverComes(Sound):
    name = "term_that_never_comes"
    terms = {**Sound.terms, "hint": "distill"}


class AblationOfNothing(Sound):
    name = "ablation_of_nothing"
    ablations = {"colder": {"temprature": 1.0}}


class AblationThatDivides(Sound):
    name = "ablation_that_divides"
    ablations = {"coldest": {"temperature": 0.0}}


# -- labels and images -------------------------------------------------------------------------------------------------


class ReadsTheLabelOfMixedImages(Sound):
    name = "reads_the_label_of_mixed_images"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        return super().losses(batch, student, teacher) | {"ce": F.cross_entropy(student.logits, batch.targets)}


class TakesOneLabelForTheTask(ReadsTheLabelOfMixedImages):
    """What it declares holds for terms that distil."""

    name = "takes_one_label_for_the_task"
    mixed_labels = "larger"


class BreaksOnMixedImages(Sound):
    name = "breaks_on_mixed_images"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        share = 0.0 if batch.mixing is None else batch.mixing.share
        return super().losses(batch, student, teacher) | {"first": student.logits.sum() / (0.7 - share)}


class AsksForTheShare(Sound):
    name = "asks_for_the_share"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        share = 1.0 if batch.mixing is None else float(batch.mixing.share)
        found = super().losses(batch, student, teacher)
        return found | {"kd": share * found["kd"]}


class Transforms(Sound):
    """Sound too: turns each image over, or not, and has each batch twice."""

    name = "transforms"

    def transform(self, batch: Batch, generator: torch.Generator) -> Batch:
        over = (torch.rand(len(batch.images), generator=generator) < 0.5).to(batch.images.device)
        views = tuple(torch.where(over.view(-1, 1, 1, 1), v.flip(2), v).repeat(2, 1, 1, 1) for v in batch.views)
        soft = None if batch.soft_targets is None else batch.soft_targets.repeat(2, 1)
        assert batch.indices is not None
        targets, indices = batch.targets.repeat(2), batch.indices.repeat(2)
        return replace(batch, images=views[0], views=views, targets=targets, indices=indices, soft_targets=soft)


class TransformsByCounting(Sound):
    name = "transforms_by_counting"

    def transform(self, batch: Batch, generator: torch.Generator) -> Batch:
        return replace(batch, images=batch.images * (1 - 0.01 * self.steps))


class TransformsByItsOwnDraws(Sound):
    name = "transforms_by_its_own_draws"

    def transform(self, batch: Batch, generator: torch.Generator) -> Batch:
        return replace(batch, images=batch.images + torch.rand((), generator=self.noise))


# -- teachers ----------------------------------------------------------------------------------------------------------


class TrainsItsTeacher(Sound):
    name = "trains_its_teacher"

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.taught = context.teacher_models[0].requires_grad_(True)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        again = self.taught.run(batch.images).logits
        return super().losses(batch, student, teacher) | {"kd": F.mse_loss(student.logits, again)}


class WritesToItsTeacher(Sound):
    name = "writes_to_its_teacher"

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
        next(teacher.model.parameters()).data.mul_(0.9)  # past the version counter


class MovesItsTeachersStatistics(Sound):
    name = "moves_its_teachers_statistics"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        with torch.no_grad():
            teacher.model.train().run(batch.images)
            teacher.model.eval()
        return super().losses(batch, student, teacher)


# -- state -------------------------------------------------------------------------------------------------------------


class CountsInPlainPython(Sound):
    """Its state is in no state_dict."""

    name = "counts_in_plain_python"

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.count = 0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        self.count += 1
        found = super().losses(batch, student, teacher)
        return found | {"kd": self.count * found["kd"]}


class KeepsCode(Sound):
    """Its state cannot be read without running code."""

    name = "keeps_code"

    def get_extra_state(self) -> Any:
        return Requirement("model")

    def set_extra_state(self, state: Any) -> None:
        pass


class DrawsFromItsOwnGenerator(Sound):
    """A generator that no checkpoint keeps."""

    name = "draws_from_its_own_generator"

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.noise = torch.Generator().manual_seed(0)


class SharesACounter(Sound):
    """What all its instances change decides its losses."""

    name = "shares_a_counter"
    calls = [0]  # of the class

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        self.calls[0] += 1
        found = super().losses(batch, student, teacher)
        return found | {"kd": (1 + 0.01 * self.calls[0]) * found["kd"]}


class PlansAnew(Sound):
    """Every plan has other cells."""

    name = "plans_anew"
    plans = [0]

    def networks(self, pair: Pair) -> Sequence[str]:
        self.plans[0] += 1
        return [pair.student] * self.plans[0]


# -- prediction --------------------------------------------------------------------------------------------------------


class PredictsOneClass(Sound):
    name = "predicts_one_class"

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> nn.Module:
        return nn.Sequential(student, nn.Linear(4, 1))


class DeploysTheTeacher(Sound):
    name = "deploys_the_teacher"

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return {"student": teachers[0]}


class DeploysWhatIsNoOutput(Sound):
    name = "deploys_what_is_no_output"

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return {"exit": student}


# -- devices -----------------------------------------------------------------------------------------------------------


class LooksAtItsLoss(Sound):
    name = "looks_at_its_loss"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        found = super().losses(batch, student, teacher)
        return found | {"kd": found["kd"] * (0.5 if found["ce"] > 1 else 1.0)}


class ChoosesByAMask(Sound):
    name = "chooses_by_a_mask"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        sure = teacher.logits.softmax(1).amax(1) >= 0
        chosen = F.cross_entropy(student.logits[sure], batch.targets[sure])
        return super().losses(batch, student, teacher) | {"ce": chosen}


class LooksWhenItUpdates(Sound):
    name = "looks_when_it_updates"

    def update(self, step: Step) -> None:
        if step.total().isfinite():
            super().update(step)


class HoldsATensorOnTheHost(Sound):
    """Made in `build`, and neither registered nor put on the device."""

    name = "holds_a_tensor_on_the_host"

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.class_weights = torch.ones(context.num_classes)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        weighted = F.cross_entropy(student.logits, batch.targets, self.class_weights)
        return super().losses(batch, student, teacher) | {"ce": weighted}


class KeepsABankOnTheHost(Sound):
    """Copies what it remembers from the device in every step."""

    name = "keeps_a_bank_on_the_host"

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
        super().after_step(batch, student, teacher)
        self.bank = student.embedding.cpu()


class DrawsOnTheDevice(Sound):
    """With a generator of the CPU, which devices refuse."""

    name = "draws_on_the_device"

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.noise = context.generator("noise")

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        noise = torch.empty_like(student.logits).normal_(generator=self.noise)
        return super().losses(batch, student, teacher) | {"kd": F.mse_loss(student.logits + noise, teacher.logits)}


class UpdatesOnTheHost(Sound):
    """Adds what was made on the CPU to gradients."""

    name = "updates_on_the_host"

    def update(self, step: Step) -> None:
        step.zero_grad()
        step.backward()
        for parameter in step.parameters["main"]:
            if parameter.grad is not None:
                parameter.grad += torch.ones(parameter.shape)
        step.apply()


class NamesAPlayerThatIsNot(Sound):
    name = "names_a_player_that_is_not"

    def update(self, step: Step) -> None:
        step.zero_grad()
        step.backward()
        step.apply("student")


class WeighsByItsEpoch(Sound):
    """With a plain number that changes from epoch to epoch."""

    name = "weighs_by_its_epoch"

    def before_epoch(self, epoch: EpochContext) -> None:
        self.share = (epoch.epoch + 1) / epoch.epochs

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        found = super().losses(batch, student, teacher)
        return {**found, "kd": self.share * found["kd"]}


class TakesTurns(Sound):
    """Every other step does something else."""

    name = "takes_turns"

    def after_step(self, batch: Batch, student: Outputs, teacher: Any) -> None:
        super().after_step(batch, student, teacher)
        self.turn = not getattr(self, "turn", False)

    def update(self, step: Step) -> None:
        step.zero_grad()
        step.backward(step.total() * 2 if getattr(self, "turn", False) else step.total())
        step.apply()


class DrawsOnTheHost(Sound):
    """Copies draws of the CPU to the device in every step."""

    name = "draws_on_the_host"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> Any:
        noise = torch.randn(student.logits.shape, generator=self.host).to(student.logits)
        return super().losses(batch, student, teacher) | {"kd": F.mse_loss(student.logits + noise, teacher.logits)}

    def build(self, context: BuildContext) -> None:
        super().build(context)
        self.host = context.generator("host")


class SaysThatItDraws(DrawsOnTheHost):
    name = "says_that_it_draws"
    capturable = False
