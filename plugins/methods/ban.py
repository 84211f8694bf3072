"""Furlanello, Lipton, Tschannen, Itti, Anandkumar, "Born-Again Neural Networks", ICML 2018, arXiv 1805.04770.

    generation 1 learns from the pair's teacher, generation g from generation g - 1, all by
    L = (1 - a) CE(y, z_g) + a T^2 KL(softmax(z_(g-1) / T) || softmax(z_g / T))

All generations are networks of the student's architecture; the cell is the last one (BAN-k of the paper, section 3). In
the paper the teacher has that architecture too, trained on labels: that is a pair of a model with itself. With another
teacher, generation 1 learns from a larger network, as section 4 does with Wide ResNets and DenseNets, and is the pair's
`kd` cell. Generations start from weights of their own, as in the paper: those of generation g are drawn from the stream
of that number. The order of batches is the cell's, which is the same for all methods.

Of the paper's losses this is the one with labels (BAN + L). The paper has no temperature (T = 1) and equal weights; the
defaults here are those of `kd`, which public reimplementations share. The ensemble of all generations (BANE) and the
losses that weigh or permute dark knowledge (CWTM, DKPP) are not built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from kdharness.api import BuildContext, MethodSpec, Pair, Requirement, hookimpl

from .kd import KD
from .takd import kd_step

# Each generation is a cell of its own that waits for the one before.
MOST = 100


class BAN(KD):
    """Learn from an earlier generation of the same architecture."""

    name = "ban"
    paper = "Furlanello et al., Born-Again Neural Networks, ICML 2018"
    generations: Annotated[int, Field(ge=2, le=MOST)] = 2

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        before = kd_step(self, pair.student, super().requires(pair))
        for generation in range(2, self.generations):
            before = self._generation(generation, pair.student, before)
        return [before]

    def _generation(self, number: int, model: str, before: Requirement) -> Requirement:
        step = kd_step(self, model, [before])
        return Requirement(
            model,
            method=self.name,
            parameters={**step.parameters, "generations": number},
            teachers=step.teachers,
            subset=step.subset,
            same_seed=True,
            role="student",
        )

    def build(self, context: BuildContext) -> None:
        super().build(context)
        fresh = context.peer(f"generation{self.generations}")
        context.student_model.load_state_dict(fresh.state_dict())


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(BAN, revision=1)
