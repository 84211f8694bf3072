"""Mirzadeh, Farajtabar, Li, Levine, Matsukawa, Ghasemzadeh, "Improved Knowledge Distillation via Teacher Assistant",
AAAI 2020, arXiv 1902.03393.

    L = (1 - lambda) CE(y, z_s) + lambda T^2 KL(softmax(z_a / T) || softmax(z_s / T))

z_a: logits of an assistant, of a size between teacher and student, that learned from the teacher by the same loss. So
the method is `kd` twice; its weights and its temperature hold for both steps, and the first step is the `kd` cell of
the pair teacher:assistant.

Which network assists is a choice for each pair; the paper takes one whose accuracy lies midway. A benchmark names it:

    [methods.takd.pairs."conv32:conv16"]
    assistant = "conv24"

The paper trains one assistant. Here each seed has its own, so that intervals hold its spread too; it sees the student's
data and has the student's recipe. Longer paths of assistants, which the paper tries too, are not built. The authors
tune lambda and T; the defaults are those of `kd`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kdharness.api import BuildContext, MethodSpec, Pair, Requirement, hookimpl

from .kd import KD


class TAKD(KD):
    """Learn from an assistant that learned from the teacher."""

    name = "takd"
    paper = "Mirzadeh et al., Improved Knowledge Distillation via Teacher Assistant, AAAI 2020"
    assistant: str = ""

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        teachers = super().requires(pair)
        return [kd_step(self, self.assistant, teachers)] if self.assistant else teachers

    def skip(self, context: BuildContext) -> str | None:
        if self.assistant:
            return super().skip(context)
        return "no assistant is named for this pair (methods.takd.pairs of a benchmark, or --set takd.assistant=MODEL)"


def kd_step(method: KD, model: str, teachers: Sequence[Requirement]) -> Requirement:
    """The cell that trains a model by `kd`, with this method's parameters of KD's loss and its cell's seed."""
    shared = ("ce_weight", "weight", "temperature", "edit", "weighting", "weight_temperature")
    return Requirement(
        model,
        method="kd",
        parameters={name: getattr(method, name) for name in shared},
        teachers=tuple(teachers),
        subset="train",
        same_seed=True,
        role="student",
    )


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(TAKD, revision=1)
