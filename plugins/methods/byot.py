"""Zhang, Song, Gao, Chen, Bao, Ma, "Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via
Self Distillation", ICCV 2019, arXiv 1905.08094.

    L = sum over exits i = 1..C of (1 - alpha_i) CE(y, q^i) + alpha_i KL(q^C || q^i) + lambda_i || F_i - F_C ||_2^2
    alpha_C = lambda_C = 0

The network is cut into C sections; each shallow one gets an exit: bottleneck, average pooling, linear layer. q^i:
softmax of exit i at temperature T (1 in CE); F_i: its pooled bottleneck feature, F_C: the deepest classifier's input.
There is no teacher but the deepest exit, through which no gradient of the last two terms flows (`detach`). At test, the
deepest exit (the main output, at no extra cost), each shallower one, and the ensemble, which is the mean of the exits'
logits; with four exits and more also that of the deepest three.

Where the cuts are: after each stage. For ResNets those are the paper's four sections, as the ratios of
multiply-accumulates show; a VGG of four stages has four exits too. The paper has four for WideResNets, ResNeXt and
PyramidNet as well, whose CIFAR forms have three resolutions; where it cuts them is not published and not established.
They have three exits here, or those that `cuts` names: modules, shallow to deep, after which the network is cut, as
["layer1", "layer2", "layer3.0"], or ["conv1", "layer1", "layer2"] with the stem as a section.

The paper does not give alpha, lambda and T, nor whether KL has the factor T^2; the authors published no code of the
conference version. `preset` names a set of parameters that somebody ran, and any other parameter that is given (not
None) replaces the preset's:

    conf        the same first author's code of a closely related method (SCAN): alpha 0.5, T 3, T^2, lambda 5e-7 on the
                squared difference summed over batch, channels and exits. SCAN's attention gates before the bottlenecks
                are left out, as the conference paper has none. The default: of the published settings the nearest to
                it. Its bottleneck has 128 channels in the middle: the ratios of multiply-accumulates agree with that
                width, not with a quarter of C_C, in deep ResNets.
    unofficial  a third party's code: alpha 0.1 in the deepest exit's CE too, lambda 1e-6, bottleneck of a quarter.
    journal     the authors' code of the later journal version: alpha 0.3, no T^2, attention and separable convolutions
                in place of the bottleneck, 0.03 times the norm of the difference itself over the whole batch, through a
                linear layer, for all shallow exits but the deepest of them. (Its comment says "shallowest".) It also
                augments images more strongly and trains longer: the recipe "journal" of the benchmark byot.

All three take the steps of that code to the last digits on four stages; a ResNet's exits are theirs. Its soft
cross-entropy has the gradient of the KL divergence used here. The unofficial code's mask (positions where either
feature is positive) changes nothing after a ReLU. The journal's code has no network of other than four stages: there is
one separable convolution of stride 2 for each later stage there, and one of the stage's stride here, which is ours.

A sum over the batch makes the hint grow with the batch size: at 128, where these values come from, "sum" with 5e-7 is
"batch_mean" with 6.4e-5. Ours too are the reductions "batch_mean" and "mean", and `cuts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    Neutral,
    NotNegative,
    Outputs,
    Positive,
    Reads,
    StagedModel,
    hookimpl,
)

from ._exits import Cuts, Exit, Exits, Shape, convolutional_bottleneck, separable_bottleneck

Bottleneck = Literal["conf128", "quarter", "sepconv_attention"]
HintReduction = Literal["sum", "batch_mean", "mean", "frobenius"]


@dataclass(frozen=True)
class Settings:
    """The resolved parameters; see BYOT for their meaning."""

    alpha: float
    temperature: float
    t_squared: bool
    hint_weight: float
    hint_reduction: HintReduction
    hint_adapter: bool
    hint_exits: Literal["all", "all_but_deepest"]
    deepest_ce: Literal["1", "1-alpha"]
    bottleneck: Bottleneck
    detach: bool


_CONF = Settings(
    alpha=0.5,
    temperature=3.0,
    t_squared=True,
    hint_weight=5e-7,
    hint_reduction="sum",
    hint_adapter=False,
    hint_exits="all",
    deepest_ce="1",
    bottleneck="conf128",
    detach=True,
)
PRESETS: dict[str, Settings] = {
    "conf": _CONF,
    "unofficial": replace(_CONF, alpha=0.1, hint_weight=1e-6, deepest_ce="1-alpha", bottleneck="quarter"),
    "journal": replace(
        _CONF,
        alpha=0.3,
        t_squared=False,
        hint_weight=0.03,
        hint_reduction="frobenius",
        hint_adapter=True,
        hint_exits="all_but_deepest",
        bottleneck="sepconv_attention",
    ),
}


def softened_kl(logits: Tensor, target_logits: Tensor, temperature: float, t_squared: bool) -> Tensor:
    """KL(target || exit) at temperature T, times T^2 if asked. Logits [N, classes]; a scalar, the mean over the batch.

    Gradient flows into the target too, unless it was detached.
    """
    log_probability = F.log_softmax(logits / temperature, dim=1)
    log_target = F.log_softmax(target_logits / temperature, dim=1)
    divergence = F.kl_div(log_probability, log_target, reduction="batchmean", log_target=True)
    return divergence * temperature**2 if t_squared else divergence


def hint_distance(features: Tensor, target: Tensor, reduction: HintReduction) -> Tensor:
    """The distance of features [N, D]: squared and summed over everything ("sum"), over D with the mean over the batch
    ("batch_mean"), or averaged over everything ("mean"); or the norm over everything, not squared ("frobenius").
    """
    difference = features - target
    if reduction == "frobenius":
        norm: Tensor = torch.linalg.vector_norm(difference)
        return norm
    squared = difference.square()
    if reduction == "batch_mean":
        return squared.sum(dim=1).mean()
    return squared.sum() if reduction == "sum" else squared.mean()


class BYOT(Method[None]):
    """Distil the deepest exit of a network into exits after its earlier stages.

    Parameters that are None are the preset's.

    alpha: weight of KL in each shallow exit, whose CE has 1 - alpha. t_squared: whether KL is multiplied by T^2.
    hint_weight: lambda. hint_adapter: whether a trained linear layer stands between F_i and F_C.
    hint_exits: the shallow exits that have a hint, all or all but the deepest of them (of a single one: none).
    deepest_ce: weight of the deepest exit's CE. bottleneck: of 128 channels, of a quarter of F_C's, or the journal's.
    detach: whether the deepest exit gets no gradient from KL and hint.
    cuts: modules after which the network is cut, shallow to deep, all but the last section; none: its stages.
    """

    name = "byot"
    paper = (
        "Zhang, Song, Gao, Chen, Bao, Ma, Be Your Own Teacher: Improve the Performance of Convolutional Neural "
        "Networks via Self Distillation, ICCV 2019"
    )
    terms = {"ce": "task", "exit_ce": "task", "exit_kd": "distill", "hint": "distill"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {
        "deep_supervision": {"alpha": 0.0, "hint_weight": 0.0},
        "kl_only": {"hint_weight": 0.0},
        "hint_only": {"alpha": 0.0},
        "quarter_width": {"bottleneck": "quarter"},
        "no_t_squared": {"t_squared": False},
        "not_detached": {"detach": False},
        "deepest_ce": {"deepest_ce": "1-alpha"},
        "batch_mean": {"hint_reduction": "batch_mean", "hint_weight": 6.4e-5},
        "unofficial": {"preset": "unofficial"},
        "journal": {"preset": "journal"},
    }
    preset: Literal["conf", "unofficial", "journal"] = "conf"
    alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    temperature: Positive | None = None
    t_squared: bool | None = None
    hint_weight: NotNegative | None = None
    hint_reduction: HintReduction | None = None
    hint_adapter: bool | None = None
    hint_exits: Literal["all", "all_but_deepest"] | None = None
    deepest_ce: Literal["1", "1-alpha"] | None = None
    bottleneck: Bottleneck | None = None
    detach: bool | None = None
    cuts: Annotated[tuple[str, ...], Neutral(())] = ()

    @property
    def reads(self) -> Reads:
        return Reads(teachers="none", taps=("stages", "embedding"), modules=self.cuts)

    def settings(self) -> Settings:
        """The preset with the given parameters in place of its own."""
        given = {field.name: getattr(self, field.name) for field in fields(Settings)}
        return replace(PRESETS[self.preset], **{name: value for name, value in given.items() if value is not None})

    def skip(self, context: BuildContext) -> str | None:
        stages, name = Cuts(self.cuts).shapes(context.student), context.student.name
        if len(stages) < 2:
            return f"needs at least two stages, and '{name}' declares {len(stages)}"
        if any(len(stage) != 3 for stage in stages):
            return f"needs {'cuts' if self.cuts else 'stages'} with maps [C, H, W], which those of '{name}' are not"
        return None

    def build(self, context: BuildContext) -> None:
        self.resolved, self.sections = self.settings(), Cuts(self.cuts)
        stages, width = self.sections.shapes(context.student), context.student.embedding or 0
        self.exits = nn.ModuleList(
            Exit(make_bottleneck(self.resolved.bottleneck, stages[number:], width), width, context.num_classes)
            for number in range(len(stages) - 1)
        )
        self.hinted = len(self.exits) if self.resolved.hint_exits == "all" else len(self.exits) - 1
        self.adapters = nn.ModuleList(
            nn.Linear(width, width) if self.resolved.hint_adapter else nn.Identity() for _ in range(self.hinted)
        )

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        chosen = self.resolved
        deepest, target = student.logits, student.embedding
        if chosen.detach:
            deepest, target = deepest.detach(), target.detach()
        exits = cast("Iterable[Exit]", self.exits)
        sections = self.sections.features(student)
        features = [exit_.features(section) for exit_, section in zip(exits, sections, strict=True)]
        logits = [exit_.fc(feature) for exit_, feature in zip(exits, features, strict=True)]
        ce = [batch.task_loss(z) for z in logits]
        kd = [softened_kl(z, deepest, chosen.temperature, chosen.t_squared) for z in logits]
        hints = [
            hint_distance(adapter(feature), target, chosen.hint_reduction)
            for adapter, feature in zip(self.adapters, features[: self.hinted], strict=True)
        ]
        deepest_weight = 1.0 if chosen.deepest_ce == "1" else 1 - chosen.alpha
        return {
            "ce": deepest_weight * batch.task_loss(student.logits),
            "exit_ce": (1 - chosen.alpha) * torch.stack(ce).sum(),
            "exit_kd": chosen.alpha * torch.stack(kd).sum(),
            "hint": chosen.hint_weight * (torch.stack(hints).sum() if hints else student.logits.new_zeros(())),
        }

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Exits:
        return Exits(student, list(self.exits), self.sections)  # type: ignore[arg-type]

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return self.predictor(student, teachers).networks()


def make_bottleneck(kind: Bottleneck, stages: Sequence[Shape], width: int) -> nn.Module:
    """The bottleneck of the exit at the first of `stages`, from there to the deepest."""
    if kind == "sepconv_attention":
        return separable_bottleneck(stages, width)
    middle = 128 if kind == "conf128" else max(1, width // 4)
    return convolutional_bottleneck(stages[0], stages[-1], width, middle)


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(BYOT, revision=2)
