"""Papernot, Abadi, Erlingsson, Goodfellow, Talwar, "Semi-supervised Knowledge Transfer for Deep Learning from Private
Training Data", ICLR 2017, arXiv 1610.05755; Papernot, Song, Mironov, Raghunathan, Talwar, Erlingsson, "Scalable Private
Learning with PATE", ICLR 2018, arXiv 1802.08908.

K teachers are trained on disjoint parts of the private images. A public image is answered with the class that most of
them say, after noise; the student learns the answers, and never asks twice:

    gnmax   argmax_c n_c(x) + N(0, sigma^2)     and with a threshold T only where max_c n_c(x) + N(0, sigma_1^2) >= T
    lnmax   argmax_c n_c(x) + Lap(b)            b = 1 / gamma of the first paper
    L       CE(z_s(x), answer(x))

n_c: votes for class c. What an answer costs: _votes.py. Where T is not reached, the question counts as if it had been
answered, so that the budget is known beforehand; the papers count the answers that were given.

The papers have 250 teachers on 50,000 to 600,000 images, ask some hundred to some thousand questions, and use what is
not answered by semi-supervised learning. Here there are ten teachers, since benchmarks are small; all public images are
asked about (`query_rate`), and no unlabelled ones are used. sigma, b and sigma_1 are by default the papers' shares of
K: 40, 20 and 150 of 250. With few teachers such noise protects little: `target_epsilon` solves for all noises, in that
proportion. Public images have no labels in the papers; with `label_weight` w > 0, ours, for RONA's setting,

    L = (1 - w) CE(z_s(x), answer(x)) + w CE(z_s(x), y)

Teachers vote on images as they are, the student sees the recipe's views. The pair's teacher is the reference that other
methods have, and is asked nothing. Parts are drawn by position alone: a changed image changes one teacher.

The noise is secret, or with noise = N of that seed, for tests: then it protects nothing (noise_public is 1). Questions
that a killed run or another training asked are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
    Pair,
    Positive,
    Reads,
    Requirement,
    hookimpl,
)

from ._privacy import NoiseSeed, moments_epsilon, noise_source
from ._votes import UNANSWERED, Aggregation, NoisyVote, count_votes

# Of 250 teachers; ICLR 2018 (SVHN and MNIST), and ICLR 2017 for Laplace noise.
PUBLISHED = {"gnmax": 40 / 250, "lnmax": 20 / 250}
PUBLISHED_THRESHOLD_SIGMA = 150 / 250


class Pate(Method[Sequence[Outputs]]):
    """Learn what most of several teachers say, each of a part of the private images, after noise.

    teachers: K.
    sigma, threshold_sigma: deviations of noise, in votes (with lnmax the scale b); None: the papers' share of K.
    threshold: T as a share of K; the papers' is 0.8 on MNIST.
    """

    name = "pate"
    paper = "Papernot et al., Scalable Private Learning with PATE, ICLR 2018"
    reads = Reads(teachers="many", indices=True)
    regime = "private_data"
    mixed_labels = "refuse"
    needs_scenario = "split80"
    ablations = {
        "laplace": {"aggregation": "lnmax"},
        "confident": {"threshold": 0.8},
        "public_labels": {"label_weight": 0.5},
        "no_noise": {"sigma": 0.0},
    }
    teachers: Annotated[int, Field(ge=2)] = 10
    aggregation: Aggregation = "gnmax"
    sigma: NotNegative | None = None
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    threshold_sigma: NotNegative | None = None
    target_epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    query_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    label_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    noise: NoiseSeed = "secret"

    @property
    def terms(self) -> Mapping[str, str]:
        return {"votes": "distill", **({"ce": "task"} if self.label_weight else {})}

    @property
    def secret_noise(self) -> bool:
        return self.said_vote.is_private and self.noise == "secret"

    @property
    def said_vote(self) -> NoisyVote:
        """The mechanism before a target's noise is solved for."""
        sigma = PUBLISHED[self.aggregation] * self.teachers if self.sigma is None else self.sigma
        if self.threshold is None:
            return NoisyVote(self.aggregation, sigma)
        first = PUBLISHED_THRESHOLD_SIGMA * self.teachers if self.threshold_sigma is None else self.threshold_sigma
        return NoisyVote(self.aggregation, sigma, self.threshold * self.teachers, first)

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        parts = [f"private[{k + 1}/{self.teachers}]" for k in range(self.teachers)]
        return [*super().requires(pair), *(Requirement(pair.teachers[0], subset=part) for part in parts)]

    def skip(self, context: BuildContext) -> str | None:
        if len(context.teachers) != 1 + self.teachers:
            return f"asks teachers of one architecture, and the pair has {len(context.teachers) - self.teachers}"
        if self.threshold is not None and self.aggregation == "lnmax":
            return "has a threshold, which is defined for aggregation 'gnmax'"
        if self.target_epsilon is not None and not self.said_vote.is_private:
            return "has a target_epsilon, and a noise of 0, which is no proportion to solve for"
        return None

    def build(self, context: BuildContext) -> None:
        samples = context.subset_sizes["train"]
        self.count = max(1, round(self.query_rate * samples))
        self.vote = self.said_vote
        if self.target_epsilon is not None:
            self.vote = self.vote.within(self.target_epsilon, self.count, self.delta)
        self.queries = context.generator("queries")
        self.noise_source = noise_source(context, self.secret_noise, f"noise {self.noise}")
        # By position among public images; how many questions were asked, by all trainings.
        self.answers, self.right, self.asked = (
            nn.Buffer(torch.full(shape, value))
            for shape, value in (((samples,), UNANSWERED), ((), 0), ((), 0))
        )  # fmt: skip

    def before_epoch(self, epoch: EpochContext) -> None:
        if epoch.epoch == 0:
            self.ask(epoch)

    def ask(self, epoch: EpochContext) -> None:
        """Asks once about each image that is asked about at all."""
        positions = torch.randperm(len(epoch.targets), generator=self.queries)[: self.count]
        votes = count_votes([epoch.predict_teacher(1 + k, positions) for k in range(self.teachers)])
        positions = positions.to(votes.device)
        answers = self.vote.answers(votes, self.noise_source)
        self.answers[positions] = answers
        self.right.copy_((answers == epoch.targets[positions].to(answers.device)).sum())
        self.asked.fill_(self.count * epoch.begun)

    def select(self, epoch: EpochContext) -> Tensor | None:
        """With labels all public images teach, without them those that were answered."""
        if self.label_weight:
            return None
        answered = (self.answers != UNANSWERED).nonzero().flatten()
        if not len(answered):
            raise ValueError(f"none of {self.count} images got an answer: threshold {self.threshold} is too high")
        return answered

    def losses(self, batch: Batch, student: Outputs, teacher: Sequence[Outputs]) -> Mapping[str, Tensor]:
        assert batch.indices is not None
        answers = self.answers[batch.indices]
        answered = (answers != UNANSWERED).to(student.logits.dtype)
        each = batch.criterion(student.logits, answers.clamp_min(0), None, "none")
        votes = (each * answered).sum() / answered.sum().clamp_min(1)
        if not self.label_weight:
            return {"votes": votes}
        return {
            "votes": (1 - self.label_weight) * votes,
            "ce": self.label_weight * batch.task_loss(student.logits),
        }

    def measurements(self) -> Mapping[str, float]:
        """answers_right: the share of answers that are the public image's label."""
        asked, answered = int(self.asked), int((self.answers != UNANSWERED).sum())
        found = {
            "releases": float(asked),
            "answered": float(answered),
            "answers_right": float(self.right) / max(1, answered),
            "sigma": self.vote.sigma,
            "epsilon_infinite": float(asked > 0 and not self.vote.is_private),
        }
        if not self.vote.is_private:
            return found
        found |= {"epsilon": self.vote.budget(asked, self.delta), "delta": self.delta}
        found["noise_public"] = float(not self.secret_noise)
        if asked:
            found["epsilon_moments"] = moments_epsilon(self.vote.multiplier, asked, self.delta)
        if self.aggregation == "gnmax":
            found["mu"] = math.sqrt(asked) / self.vote.multiplier
        return found


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Pate, revision=1)
