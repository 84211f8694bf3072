"""When RONA asks a teacher, and about what (see rona.py): its phases, and the queries of each epoch.

Phases, in the authors' README: 40 epochs of hints, then five rounds, each of 8 epochs of distillation and of max(8 - 2
it, 1) of self-learning, it = 0, 1, ...; half of the public images are asked about in an epoch, in batches of 512;
batches of self-learning have 128. In their script: 50 epochs of hints, four rounds, and three epochs of self-learning
before the first; the learning rate falls to a tenth after round floor(0.7 rounds). The README is followed, and the
script where the README is silent. Scaling to the recipe's epochs (`follow_recipe`) is ours.

Queries of hints are random; those of distillation are selected anew for each epoch (_query_selection.py) and, as in the
script, come in the order of their selection: `query_order = "shuffled"` is ours. The order matters to an adaptive
bound, which is the mean of a batch. The script truncates the number of queries where it is rounded here, and never
shuffles self-learning, where the harness always does.

`asks = False` is the control, ours: the same phases, queries and numbers of updates, but the labels of what would have
been asked about are learned. Without hints and distilled outputs (`without`) the student makes no update in their
epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import BuildContext, EpochContext, Method, Outputs, Phase, Player, Positive

from ._query_selection import Rule, Selection, Shares
from ._rounds import Schedule, Stretch

ASKING = ("hint", "distill")

Count = Annotated[int, Field(ge=0, le=10**9)]
BatchSize = Annotated[int, Field(ge=1, le=10**9)] | None


class RonaPhases(Method[Sequence[Outputs]]):
    """The schedule of RONA and its queries."""

    asks: bool = True
    selection: Rule = "kcenter"
    selection_temperature: Positive | None = None
    diverse_shares: Shares = "proportional"
    query_order: Literal["selection", "shuffled"] = "selection"
    query_rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    temperature: Positive = 3.0
    lr: Positive = 1e-3
    hint_epochs: Count = 40
    warm_epochs: Count = 3
    iterations: Annotated[int, Field(ge=1, le=10_000)] = 5
    distill_epochs: Count = 8
    self_epochs: Count = 8
    self_decay: Count = 2
    follow_recipe: bool = True
    distill_batch_size: BatchSize = None
    self_batch_size: BatchSize = None

    def build(self, context: BuildContext) -> None:
        self.recipe_epochs, self.queries = context.epochs, context.generator("queries")

    @property
    def schedule(self) -> Schedule:
        return Schedule(
            hint=self.hint_epochs,
            warm=self.warm_epochs,
            rounds=self.iterations,
            distill=self.distill_epochs,
            self_learning=self.self_epochs,
            decay=self.self_decay,
        )

    def phases(self) -> Sequence[Phase]:
        schedule = self.schedule
        kept = schedule.scaled(self.recipe_epochs) if self.follow_recipe else schedule.stretches()
        slow_after = int(0.7 * (kept[-1].iteration + 1))
        return [self.phase(s, self.lr / 10 if s.iteration > slow_after else self.lr) for s in kept]

    def phase(self, stretch: Stretch, lr: float) -> Phase:
        asking = stretch.name in ASKING
        player = stretch.name if asking and self.asks else "self"
        parts = ("student", "method.adapter") if player == "hint" else ("student",)
        adam = {"optimizer": "adam", "lr": lr, "weight_decay": 0.0}
        return Phase(
            name=stretch.name,
            epochs=stretch.epochs,
            batch_size=self.distill_batch_size if asking else self.self_batch_size,
            players=(Player(player, parts, adam, lasting=True),),
            recipe={"schedule": "constant", "warmup_epochs": 0.0},
            order=self.query_order if asking else "shuffled",
        )

    def query_count(self, samples: int) -> int:
        """How many of the public samples are asked about in an epoch."""
        return min(samples, max(2, round(self.query_rate * samples)))

    def select(self, epoch: EpochContext) -> Tensor | None:
        if epoch.phase not in ASKING:
            return None
        count = self.query_count(len(epoch.targets))
        if epoch.phase == "hint":
            return torch.randperm(len(epoch.targets), generator=self.queries)[:count]
        rule = Selection(self.selection, self.temperature, self.selection_temperature, self.diverse_shares)
        return rule.queries(epoch.predict(), count, self.queries)
