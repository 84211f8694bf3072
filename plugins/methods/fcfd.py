"""Liu, Kan, Shan, Chen, "Function-Consistent Feature Distillation", ICLR 2023, arXiv 2304.11832.

    L = CE(y, z_s) + KD(z_s) + app + func                      KD(z) = T^2 KL(softmax(z_t / T) || softmax(z / T))
    app = w r sum_k d(B_k(s_k), t_k)
    func = sum over drawn paths of m KD(z) + w r sum_{j > k} d(f_j, t_j)

s_k, t_k: maps of student and teacher at level k; B_k: a bridge from the student's maps to the teacher's, or back, a 3x3
convolution with batch normalisation. Features are alike where a network makes the same of them: so each step draws two
mixed paths, the student up to level k, a bridge and the teacher's rest, or the teacher up to k, a bridge and the
student's rest. What comes out of a path, z, is held against the teacher's logits, and on the way what the teacher's
rest makes, f_j, against its maps. d: the mean squared difference; at the last level that of the rectified means over
places too. r: (epoch + 1) / 20 over the first 20 epochs. The teacher's weights get no gradient, all else gets one.

The authors' code is followed. A rest normalises by the statistics of what it is given; the running statistics of both
networks stay those of their own images. (The code keeps others for each path, which nothing reads.) Its paths are
drawn by Python's generator, without replacement, from all of both directions with equal chances, as here. A bridge has
stride 2, or is transposed, where maps differ in size by 2; other sizes, which the code refuses, are pooled first. It
ends in a leaky ReLU (0.1) where the level is behind an activation. Levels are the stages; VGG and ShuffleNetV1 are cut
before the stage's activation, and the last level is behind the normalisation of a network that ends in one, as there.

Where this differs: the code leaves the teacher in training mode, where it normalises by each batch. `teacher_batchnorm`
is `eval` by default, as for every teacher here, which lets methods share it; `train` is the code's, with a copy of the
teacher. The last level of MobileNetV2 and ShuffleNetV2 is their last stage, without the 1x1 convolution behind it.
Networks of unequal depth, which the code refuses, are matched from the deep end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

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
    StagedModel,
    eval_mode,
    hookimpl,
)

from ._spatial import pool_to
from .kd import kd_loss

# Networks that the authors cut before the activation that ends a stage.
CUT_BEFORE_ACTIVATION = ("vgg8", "vgg13", "shuffle_v1")

# Of paths: which network goes first.
Directions = Literal["both", "student_first", "teacher_first"]


def fcfd_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """d summed over levels. Maps [N, C, H, W] of equal shapes in both, shallow to deep, up to the last; a scalar."""
    targets = [target.detach() for target in teacher_features]
    pairs = [*zip(student_features, targets, strict=True), (_pooled(student_features[-1]), _pooled(targets[-1]))]
    return torch.stack([F.mse_loss(feature, target) for feature, target in pairs]).sum()


def _pooled(maps: Tensor) -> Tensor:
    """The rectified means over places, [N, C]."""
    return F.relu(maps).mean(dim=(2, 3))


class Resize(nn.Module):
    """Maps [N, C, H, W] at another height and width."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        return pool_to(maps, self.size)


def make_bridge(source: Sequence[int], target: Sequence[int], leaky: bool) -> nn.Sequential:
    """B, from maps of one network to those of another. Shapes (C, H, W). leaky: whether it ends in a leaky ReLU."""
    before, size = source[0], tuple(source[1:])
    after, wanted = target[0], (target[1], target[2])
    layers: list[nn.Module]
    if size == tuple(2 * length for length in wanted):
        layers = [nn.Conv2d(before, after, 3, stride=2, padding=1)]
    elif wanted == tuple(2 * length for length in size):
        layers = [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    else:
        layers = [] if size == wanted else [Resize(wanted)]
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
    if isinstance(layers[-1], nn.Conv2d):
        nn.init.kaiming_normal_(layers[-1].weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(*layers, nn.BatchNorm2d(after), *([nn.LeakyReLU(0.1)] if leaky else []))


class Levels:
    """Where a network is cut: its deepest stages, `count` of them.

    before: of each level, whether its maps are those before an activation that the network declares there.
    leaky: of each, whether its maps are what an activation gave.
    """

    def __init__(self, model: StagedModel, count: int) -> None:
        self.first = model.num_stages - count
        activated = _activated(model)[self.first :]
        *_, last = activated
        cut_before = model.spec.name in CUT_BEFORE_ACTIVATION
        self.before = [given and cut_before for given in activated[:-1]] + [cut_before or not last]
        self.leaky = [given and not before for given, before in zip(activated, self.before, strict=True)]

    def shapes(self, stages: Sequence[Sequence[int]], pre_activations: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """(C, H, W) of each level, of those of the network's taps."""
        taps = zip(stages[self.first :], pre_activations[self.first :], self.before, strict=True)
        return [activation if before else stage for stage, activation, before in taps]

    def maps(self, outputs: Outputs) -> list[Tensor]:
        """The maps of all levels; of a deep end's outputs, of those that it has."""
        stages, activations = outputs.stages[-len(self.before) :], outputs.pre_activations[-len(self.before) :]
        taps = zip(stages, activations, self.before[len(self.before) - len(stages) :], strict=True)
        return [activation if before else stage for stage, activation, before in taps]

    def rest(self, model: StagedModel, level: int, maps: Tensor) -> Outputs:
        """What the network makes of maps at a level, by their own statistics. Not of the last level."""
        stage = self.first + level
        if self.before[level]:
            maps = model.part(model.spec.pre_activations[stage])(maps)
        return model.run_tail(stage, maps, "own", ("stages", "pre_activations"))


def _device(model: StagedModel) -> torch.device:
    return next(model.parameters()).device


def _activated(model: StagedModel) -> list[bool]:
    """Whether each stage ends behind its activation: in a WideResNet that comes with the next stage."""
    order: list[nn.Module] = []

    def note(module: nn.Module, *args: Any) -> None:
        order.append(module)

    activations = [model.part(path) for path in model.spec.pre_activations]
    handles = [module.register_forward_pre_hook(note) for module in activations]
    handles += [stage.register_forward_hook(note) for stage in model.stages]
    try:
        with torch.no_grad(), eval_mode(model):
            model(torch.zeros(2, *model.image_shape, device=_device(model)))
    finally:
        for handle in handles:
            handle.remove()
    last = {module: place for place, module in enumerate(order)}
    if any(module not in last for module in (*activations, *model.stages)):
        raise ValueError(f"model '{model.spec.name}' does not run all stages and activations that it declares")
    return [last[module] <= last[stage] for module, stage in zip(activations, model.stages, strict=True)]


class FCFD(Method):
    """Match what either network makes of the other's features.

    weight: w. mixed_weight: m. paths: how many are drawn in a step, at most as many as there are.
    directions: which network goes first in them.
    """

    name = "fcfd"
    paper = "Liu, Kan, Shan, Chen, Function-Consistent Feature Distillation, ICLR 2023"
    reads = Reads(taps=("stages", "pre_activations"))
    terms = {"ce": "task", "kd": "distill", "appearance": "distill", "function": "distill"}
    mixed_labels = "mix"
    capturable = False  # the paths of a step are drawn in Python
    ablations = {
        "student_first": {"directions": "student_first"},
        "teacher_first": {"directions": "teacher_first"},
        "teacher_in_train_mode": {"teacher_batchnorm": "train"},
    }
    published = {
        "*": {"teacher_batchnorm": "train"},
        "resnet56:resnet20": {"weight": 0.02},
        "wrn_40_2:wrn_16_2": {"mixed_weight": 0.2},
        "resnet32x4:shuffle_v1": {"temperature": 8.0},
        "resnet32x4:shuffle_v2": {"temperature": 8.0},
        "resnet50:mobilenet_v2": {"temperature": 8.0},
        "torchvision_resnet34:torchvision_resnet18": {"temperature": 1.0, "weight": 0.02, "warmup_epochs": 5},
    }
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    mixed_weight: NotNegative = 1.0
    weight: NotNegative = 5.0
    temperature: Positive = 4.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 20
    paths: Annotated[int, Field(ge=0)] = 2
    directions: Directions = "both"
    teacher_batchnorm: Literal["eval", "train"] = "eval"

    @property
    def private_teacher(self) -> bool:
        return self.teacher_batchnorm == "train"

    # -- building -----------------------------------------------------------------------------------------------------

    def skip(self, context: BuildContext) -> str | None:
        models = (context.student_model, context.teacher_models[0])
        count = min(model.num_stages for model in models)
        for model, shape in zip(models, (context.student, context.teacher), strict=True):
            if model.spec.tokens is not None:
                return f"its bridges are made for maps, and the stages of '{shape.name}' are tokens"
            if model.num_stages < 2:
                return f"needs at least two stages, and '{shape.name}' declares {model.num_stages}"
            try:
                levels = Levels(model, count)
                for level in range(count - 1):
                    maps = levels.shapes(shape.stages, shape.pre_activations)[level]
                    levels.rest(model, level, torch.zeros(2, *maps, device=_device(model)))
            except ValueError as error:
                return str(error)
        return None

    def build(self, context: BuildContext) -> None:
        count = min(context.student_model.num_stages, context.teacher_models[0].num_stages)
        self.of_student = Levels(context.student_model, count)
        self.of_teacher = Levels(context.teacher_models[0], count)
        student = self.of_student.shapes(context.student.stages, context.student.pre_activations)
        teacher = self.of_teacher.shapes(context.teacher.stages, context.teacher.pre_activations)
        to_teacher = zip(student, teacher, self.of_teacher.leaky, strict=True)
        # No path is cut at the last level, so that none leads back from there.
        to_student = list(zip(teacher, student, self.of_student.leaky, strict=True))[:-1]
        self.to_teacher = nn.ModuleList(make_bridge(*shapes) for shapes in to_teacher)
        self.to_student = nn.ModuleList(make_bridge(*shapes) for shapes in to_student)
        firsts = ("teacher_first", "student_first") if self.directions == "both" else (self.directions,)
        self.candidates = [(first, level) for first in firsts for level in range(count - 1)]
        self.draw = context.generator("paths")
        if self.teacher_batchnorm == "train":
            for layer in context.teacher_models[0].modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.train()

    # -- training -----------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        maps, targets = self.of_student.maps(student), self.of_teacher.maps(teacher)
        bridged = [bridge(feature) for bridge, feature in zip(self.to_teacher, maps, strict=True)]
        weight = self.weight * self._rise(batch)
        function = student.logits.new_zeros(())
        for first, level in self._drawn():
            if first == "student_first":
                outputs = self.of_teacher.rest(teacher.model, level, bridged[level])
                function = function + weight * fcfd_loss(self.of_teacher.maps(outputs), targets[level + 1 :])
            else:
                outputs = self.of_student.rest(student.model, level, self.to_student[level](targets[level]))
            function = function + self.mixed_weight * kd_loss(outputs.logits, teacher.logits, self.temperature)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "appearance": weight * fcfd_loss(bridged, targets),
            "function": function,
        }

    def _rise(self, batch: Batch) -> Tensor | float:
        """r."""
        if self.warmup_epochs == 0:
            return 1.0
        return ((batch.step.epoch + 1) / self.warmup_epochs).clamp(max=1.0)

    def _drawn(self) -> list[tuple[str, int]]:
        """The paths of a step: which network goes first, and at which level it ends."""
        order: list[int] = torch.randperm(len(self.candidates), generator=self.draw)[: self.paths].tolist()
        return [self.candidates[number] for number in sorted(order)]


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(FCFD, revision=1)
