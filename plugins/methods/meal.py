"""Shen, He, Xue, "MEAL: Multi-Model Ensemble via Adversarial Learning", AAAI 2019, arXiv 1812.02425; its extension to
noisy data, arXiv 1908.08520.

    L = alpha sum_j gamma_j sim(omega_j(s_j), omega_j(t_j)) + beta sum_j eta_j L_D^j

s_j, t_j: outputs of stage j of the student and of one teacher, drawn anew for each batch; the last j are the logits.
omega_j: alignment to vectors of length d_j; L_D^j: the loss of a discriminator that tells student from teacher
(`_discriminators` has both). No term reads the labels. Only the student is kept.

The paper's: the loss, a min-max game of D and student, stages matched, and two augmentations of an image for teacher
and student, or one. The code's: what made the published numbers, and the defaults here. Where they differ:

- adv_mode. The paper's min-max game is `alternate`: D takes a step down L_D, then the student one up L_D against the
  new D. The code lets both go down the same loss in one step, which makes the student easier to tell apart
  (`joint_same_sign`, the default); `grl` is its switch for gradient reversal, and `none` leaves D out.
- views. The code shows teacher and student the `same` picture; `own` draws the recipe's augmentation for each, which
  makes a difference where the data set has one.
- similarity. Both published commands take `ce`, soft cross-entropy at temperature 1, on pooled features too. l1 and l2
  are means over batch and coordinates, small beside sums; `l1_soft` and `l2_soft` compare softmax outputs. `kl` is ce
  less the teacher's entropy.
- teacher_batchnorm. The code leaves teachers in training mode, where BatchNorm uses each batch's statistics. The
  default is `eval`, as for every teacher here, which lets methods share them; `train` puts the BatchNorm layers of
  private copies into training mode.
- intermediate. The code's ensembles match logits alone, for its networks differ in their number of stages; the paper
  matches stages. Here stages are matched from the deep end, as many as every network of the pair has and as there are
  numbers for: used or not, so that who teaches does not change what is matched.
- stage_weights: gamma, shallow to deep, the logits' last. adversarial_weights: eta, as many numbers; empty, the
  default and the published commands': 1 wherever gamma is not 0. A stage without either is left out. (The code's VGG
  has the logits in the place of its fifth stage.)
- pooled_sizes: d of the stages alone; published are 10000, 5000, 1000, 500, more than most maps have positions. Empty,
  the default: at each stage the fewest positions H W among the networks of the pair.
- discriminator_lr. 0.001 beside the student's 0.1; both follow the recipe's schedule and weight decay.

Ours, for ablations:

- teacher_choice. One teacher at random per batch is MEAL; the means are MEAL V2's (`meal_v2`) and a control. For
  `mean_probability` the similarity sees the logarithm of the mean probability, D the mean of the logits.
- teachers_used: only so many of the pair's teachers (0: all), to see what each further one brings: the `first`, or, as
  teachers_drawn says, `random` ones of each seed. Of one seed, three hold the two that are drawn for two.
- hard_label_weight: of the task loss, which the paper's principle leaves out.
- discriminator_input. D sees logits; the code of FKD, MEAL V2's later form, shows it `probabilities`.
- cutmix: alpha of it, whatever the recipe says. The target is the teachers' answer to the mixed image (MEAL V2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import torch
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
    Pair,
    Phase,
    Player,
    Positive,
    Reads,
    Requirement,
    Step,
    View,
    hookimpl,
    log_mean_probability,
    reverse_gradient,
    run_frozen,
)

from ._discriminators import Alignment, discriminator_loss, make_discriminator
from ._similarities import SIMILARITIES

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class MEAL(Method[Sequence[Outputs]]):
    """Learn from one of several teachers per batch, at every stage, beside discriminators."""

    name = "meal"
    paper = "Shen, He, Xue, MEAL: Multi-Model Ensemble via Adversarial Learning, AAAI 2019"
    mixed_labels = "mix"
    ablations = {
        "logits_only": {"intermediate": False},
        "alternate": {"adv_mode": "alternate"},
        "grl": {"adv_mode": "grl"},
        "mean_of_all": {"teacher_choice": "mean_probability"},
        "l1": {"similarity": "l1"},
        "hard_labels": {"hard_label_weight": 1.0},
        "own_views": {"views": "own"},
    }
    capturable = False  # the teacher of a batch is chosen in Python, and curves are kept there
    similarity: Literal["ce", "l1", "l2", "l1_soft", "l2_soft", "kl"] = "ce"
    similarity_weight: NotNegative = 1.0
    stage_weights: tuple[NotNegative, ...] = (0.001, 0.01, 0.05, 0.1, 1.0)
    intermediate: bool = True
    pooling: Literal["average", "maximum"] = "average"
    pooled_sizes: tuple[Annotated[int, Field(ge=1, le=2**14)], ...] = ()
    adv_mode: Literal["none", "joint_same_sign", "grl", "alternate"] = "joint_same_sign"
    adversarial_weight: NotNegative = 1.0
    adversarial_weights: Annotated[tuple[NotNegative, ...], Neutral(())] = ()
    discriminator_input: Annotated[Literal["logits", "probabilities"], Neutral("logits")] = "logits"
    discriminator_shrink: Annotated[int, Field(ge=1)] = 2
    discriminator_output_relu: bool = True
    discriminator_lr: Positive | None = 1e-3
    teacher_choice: Literal["random", "mean_probability", "mean_logits"] = "random"
    teachers_used: Annotated[int, Field(ge=0)] = 0
    teachers_drawn: Annotated[Literal["first", "random"], Neutral("first")] = "first"
    views: Annotated[Literal["same", "own"], Neutral("same")] = "same"
    teacher_batchnorm: Literal["eval", "train"] = "eval"
    hard_label_weight: NotNegative = 0.0
    warm_start: bool = False
    lr: Positive | None = None
    weight_decay: NotNegative | None = None
    cutmix: Annotated[NotNegative | None, Neutral(None)] = None

    # -- planning -----------------------------------------------------------------------------------------------------

    @property
    def terms(self) -> Mapping[str, str]:
        """Those that the parameters switch on."""
        adversarial = {} if self.adv_mode == "none" else {"adversarial": "player"}
        return {"similarity": "distill", **adversarial, **({"ce": "task"} if self.hard_label_weight else {})}

    @property
    def reads(self) -> Reads:
        own = (View("recipe", teacher=False), View("recipe", student=False))
        views = own if self.views == "own" else (View("recipe"),)
        return Reads(teachers="many", taps=("stages",) if self.intermediate else (), views=views)

    @property
    def private_teacher(self) -> bool:
        return self.teacher_batchnorm == "train"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        """The pair's teachers; for a warm start the plain student of the same seed too."""
        teachers = list(super().requires(pair))
        if self.warm_start:
            student = Requirement(pair.student, subset="train", same_seed=True, role="student", warm_start=True)
            teachers.append(student)
        return teachers

    def skip(self, context: BuildContext) -> str | None:
        if not self.stage_weights:
            return "stage_weights is empty; its last number is the weight of the logits"
        weights, etas = len(self.stage_weights), len(self.adversarial_weights)
        if etas not in (0, weights):
            return f"adversarial_weights has {etas} numbers, and stage_weights {weights}; they go together"
        if self.adv_mode != "none" and not any(eta for _, _, eta in self._matched(context)):
            return "adversarial_weights leaves no discriminator; without any, adv_mode is 'none'"
        networks = (context.student, *context.teachers)
        flat = next((n.name for n in networks if any(len(s) != 3 for s in n.stages)), None)
        if self.intermediate and flat is not None:
            return f"matches stages that are maps [C, H, W], which those of '{flat}' are not"
        if self.teachers_used > len(context.teachers):
            return f"teachers_used is {self.teachers_used}, and the pair has {len(context.teachers)}"
        return None

    def _matched(self, context: BuildContext) -> list[tuple[int, float, float]]:
        """Depth, gamma and eta of all that is matched, the logits last at depth 0. -1: the deepest stage."""
        counts = [len(network.stages) for network in (context.student, *context.teachers)]
        counts += [len(self.stage_weights) - 1, *([len(self.pooled_sizes)] if self.pooled_sizes else [])]
        stages = range(-min(counts), 0) if self.intermediate else range(0)
        published = (*(float(gamma != 0) for gamma in self.stage_weights[:-1]), 1.0)
        etas = self.adversarial_weights or published
        weights = [(depth, self.stage_weights[depth - 1], etas[depth - 1]) for depth in (*stages, 0)]
        return [found for found in weights if found[0] == 0 or any(found[1:])]

    # -- building -----------------------------------------------------------------------------------------------------

    def build(self, context: BuildContext) -> None:
        self.draw = context.generator("teacher")
        self.teaching = self._teaching(context)
        matched = self._matched(context)
        self.depths = [depth for depth, _, _ in matched[:-1]]
        self.weights = [gamma for _, gamma, _ in matched]
        # Of the matched, those that have a discriminator.
        self.played = [] if self.adv_mode == "none" else [k for k, (_, _, eta) in enumerate(matched) if eta]
        etas = torch.tensor([matched[k][2] for k in self.played])
        self.register_buffer("etas", etas, persistent=False)
        alignments = [self._alignment(context, depth) for depth in self.depths]
        sizes = [*(alignment.size for alignment in alignments), context.num_classes]
        shrink, relu = self.discriminator_shrink, self.discriminator_output_relu
        self.alignments = nn.ModuleList(alignments)
        self.discriminators = nn.ModuleList(make_discriminator(sizes[k], shrink, relu) for k in self.played)
        self.d_losses: list[Tensor] = []
        self.last_d_losses: dict[str, float] = {}
        if self.teacher_batchnorm == "train":
            for layer in (m for model in context.teacher_models for m in model.modules()):
                if isinstance(layer, BATCH_NORMS):
                    layer.train()

    def _teaching(self, context: BuildContext) -> list[int]:
        """The numbers of the teachers that are used, ascending."""
        count = len(context.teachers)
        order = list(range(count))
        if self.teachers_drawn == "random":
            order = torch.randperm(count, generator=context.generator("teachers_drawn")).tolist()
        return sorted(order[: self.teachers_used or count])

    def _alignment(self, context: BuildContext, depth: int) -> Alignment:
        """omega of the stage `depth` (-1: the deepest)."""
        networks = (context.student, *context.teachers)
        positions = {math.prod(network.stages[depth][1:]) for network in networks}
        size = self.pooled_sizes[depth] if self.pooled_sizes else min(positions)
        return Alignment(size, positions, self.pooling == "maximum")

    def phases(self) -> Sequence[Phase]:
        recipe = {"lr": self.lr, "weight_decay": self.weight_decay, "cutmix": self.cutmix}
        players = [Player("main", parts=("student",))]
        if self.adv_mode != "none":
            changes = {} if self.discriminator_lr is None else {"lr": self.discriminator_lr}
            players.append(Player("discriminators", parts=("method.discriminators",), optimizer=changes))
        changed = {key: value for key, value in recipe.items() if value is not None}
        return [Phase(players=tuple(players), recipe=changed)]

    # -- training -----------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch, student: Outputs, teacher: Sequence[Outputs]) -> dict[str, Tensor]:
        self.vectors = self._vectors(student)
        targets, self.opponents = self._taught(teacher)
        similarity = SIMILARITIES[self.similarity]
        terms = zip(self.weights, self.vectors, targets, strict=True)
        total = torch.stack([weight * similarity(ours, theirs) for weight, ours, theirs in terms]).sum()
        found = {"similarity": self.similarity_weight * total}
        if self.adv_mode != "none":
            found["adversarial"] = self._play()
        if self.hard_label_weight:
            found["ce"] = self.hard_label_weight * batch.task_loss(student.logits)
        return found

    def _vectors(self, outputs: Outputs) -> list[Tensor]:
        """The aligned outputs [N, d_j] of one network, the logits last."""
        stages = zip(self.alignments, self.depths, strict=True)
        return [*(align(outputs.stages[depth]) for align, depth in stages), outputs.logits]

    def _taught(self, teachers: Sequence[Outputs]) -> tuple[list[Tensor], list[Tensor]]:
        """What the similarity and what the discriminators see of the teachers. One at random: only that one is run."""
        if self.teacher_choice == "random":
            drawn = int(torch.randint(len(self.teaching), (), generator=self.draw))
            vectors = self._vectors(teachers[self.teaching[drawn]])
            return vectors, vectors
        chosen = [teachers[number] for number in self.teaching]
        every = [self._vectors(outputs) for outputs in chosen]
        means = [torch.stack(vectors).mean(0) for vectors in zip(*every, strict=True)]
        if self.teacher_choice == "mean_logits":
            return means, means
        targets = [*means[:-1], log_mean_probability([outputs.logits for outputs in chosen])]
        return targets, means if self.discriminator_input == "logits" else targets

    def _play(self) -> Tensor:
        """sum_j eta_j L_D^j. The student gets its gradient as it is, reversed, or not at all, as adv_mode says."""
        passing = {"joint_same_sign": lambda v: v, "grl": reverse_gradient, "alternate": Tensor.detach}[self.adv_mode]
        losses = self._stage_losses([passing(vector) for vector in self.vectors])
        self.d_losses.append(losses.detach())
        return self.adversarial_weight * (self.get_buffer("etas") * losses).sum()

    def _stage_losses(self, students: Sequence[Tensor]) -> Tensor:
        """L_D^j of those that have a discriminator."""
        ours, theirs = (self._shown(vectors) for vectors in (students, self.opponents))
        players = zip(self.discriminators, self.played, strict=True)
        return torch.stack([discriminator_loss(player, ours[k], theirs[k]) for player, k in players])

    def _shown(self, vectors: Sequence[Tensor]) -> Sequence[Tensor]:
        """What discriminators see of the vectors of one side."""
        return vectors if self.discriminator_input == "logits" else [*vectors[:-1], vectors[-1].softmax(1)]

    def update(self, step: Step) -> None:
        """For `alternate` the discriminators' step, then the student's against them; one joint step for the others."""
        if self.adv_mode != "alternate" or "adversarial" not in step.losses:
            super().update(step)
            return
        step.zero_grad()
        step.backward(step.total("player"))
        step.apply("discriminators")
        losses = run_frozen(self.discriminators, lambda: self._stage_losses(self.vectors))
        fooled = (self.get_buffer("etas") * losses).sum()
        step.backward(step.total("task", "distill") - self.adversarial_weight * fooled)
        step.apply("main")

    # -- results ------------------------------------------------------------------------------------------------------

    def curves(self) -> Mapping[str, float]:
        """Each discriminator's mean loss of the epoch: 0.693 is chance, 0.347 the floor with a ReLU on the output."""
        if self.d_losses:
            every = [*(f"stage{number + 1}" for number in range(len(self.alignments))), "logits"]
            names = [every[k] for k in self.played]
            means = torch.stack(self.d_losses).mean(0).tolist()
            self.last_d_losses = {f"d_loss_{name}": loss for name, loss in zip(names, means, strict=True)}
            self.d_losses.clear()
        return self.last_d_losses

    def measurements(self) -> Mapping[str, float]:
        """The last of these; where teachers are drawn, which of them taught too."""
        drawn = self.teaching if self.teachers_drawn == "random" else []
        return {**self.last_d_losses, **{f"uses_teacher{number + 1}": 1.0 for number in drawn}}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(MEAL, revision=2)
