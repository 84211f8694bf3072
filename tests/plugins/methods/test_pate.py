"""PATE: votes by hand, what an answer costs, and what the student learns from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from kdharness_plugins.methods import pate
from kdharness_plugins.methods._privacy import gaussian_epsilon
from kdharness_plugins.methods._votes import UNANSWERED, NoisyVote, count_votes, laplace_like
from kdharness_plugins.methods.pate import Pate
from opacus.accountants.analysis.rdp import compute_rdp
from torch import Tensor

from kdharness.errors import UserError

FEW = ("pate.teachers=3",)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def votes_of(*each: str) -> Tensor:
    """One row per image: "0012" is what four teachers say of it."""
    logits = [torch.eye(3)[torch.tensor([int(row[k]) for row in each])] for k in range(len(each[0]))]
    return count_votes(logits)


# -- votes -------------------------------------------------------------------------------------------------------------


def test_votes_by_hand() -> None:
    votes = votes_of("0012", "2220", "1111")
    assert votes.tolist() == [[2, 1, 1], [1, 0, 3], [0, 4, 0]]
    assert NoisyVote("gnmax", 0.0).answers(votes, source()).tolist() == [0, 2, 1]
    confident = NoisyVote("gnmax", 0.0, threshold=3, threshold_sigma=0.0)
    assert confident.answers(votes, source()).tolist() == [UNANSWERED, 2, 1]


def test_the_share_of_right_answers_is_what_the_noise_says() -> None:
    """Of two classes with 6 and 4 votes the first wins where N(0, 2 sigma^2) > -2; the largest passes T likewise."""
    votes = torch.tensor([[6.0, 4.0]], dtype=torch.float64).expand(40_000, 2)

    def normal(x: float) -> float:
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    won = (NoisyVote("gnmax", 3.0).answers(votes, source()) == 0).double().mean()
    assert float(won) == pytest.approx(normal(2 / (3 * math.sqrt(2))), abs=0.01)
    answered = NoisyVote("gnmax", 1e-9, threshold=7, threshold_sigma=2.0).answers(votes, source()) != UNANSWERED
    assert float(answered.double().mean()) == pytest.approx(normal(-0.5), abs=0.01)
    # The difference of two Laplace draws of scale b is below -d with probability (2 + d / b) exp(-d / b) / 4.
    lost = (NoisyVote("lnmax", 2.0).answers(votes, source()) == 1).double().mean()
    assert float(lost) == pytest.approx(0.75 * math.exp(-1), abs=0.01)


def test_laplace_draws() -> None:
    draws = laplace_like(torch.zeros(100_000, dtype=torch.float64), source())
    assert draws.dtype is torch.float64
    assert float(draws.abs().mean()) == pytest.approx(1, abs=0.02)
    assert float(draws.var()) == pytest.approx(2, abs=0.05)


# -- what it costs -----------------------------------------------------------------------------------------------------


def least(renyi: Callable[[float], float], delta: float, orders: Iterable[float]) -> float:
    return min(renyi(order) + math.log(1 / delta) / (order - 1) for order in orders)


def test_a_gaussian_answer_costs_what_the_paper_says() -> None:
    """Proposition 8 of ICLR 2018, RDP(alpha) = alpha / sigma^2, beside opacus' of the Gaussian that it equals."""
    vote, alphas = NoisyVote("gnmax", 40.0), [1.5, 2.0, 17.0, 100.0]
    theirs = compute_rdp(q=1.0, noise_multiplier=vote.multiplier, steps=500, orders=alphas)
    assert list(theirs) == pytest.approx([500 * alpha / 40**2 for alpha in alphas])
    exact, bound = vote.budget(500, 1e-5), least(lambda a: 500 * a / 1600, 1e-5, (1 + k / 100 for k in range(1, 9000)))
    assert 0.8 * bound < exact < bound
    assert exact == pytest.approx(gaussian_epsilon(40 / math.sqrt(2), 500, 1e-5))


def test_a_threshold_costs_too_and_every_question_counts() -> None:
    vote = NoisyVote("gnmax", 40.0, threshold=200, threshold_sigma=150.0)
    assert vote.multiplier**-2 == pytest.approx(2 / 40**2 + 1 / 150**2)
    assert vote.budget(500, 1e-5) > NoisyVote("gnmax", 40.0).budget(500, 1e-5)


@pytest.mark.parametrize("questions", [1, 100, 10_000])
def test_a_laplace_answer_costs_what_the_paper_says(questions: int) -> None:
    """Theorem 2 of ICLR 2017, alpha(l) = 2 gamma^2 l (l + 1), and 2 gamma each without moments."""
    gamma = 0.05
    moments = least(lambda a: questions * 2 * gamma**2 * a, 1e-5, (1 + 10 ** (k / 500) for k in range(-1500, 2000)))
    expected = min(2 * gamma * questions, moments)
    assert NoisyVote("lnmax", 1 / gamma).budget(questions, 1e-5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("vote", [
    NoisyVote("gnmax", 1.6), NoisyVote("lnmax", 0.8), NoisyVote("gnmax", 1.6, threshold=8, threshold_sigma=6.0),
])  # fmt: skip
@pytest.mark.parametrize("epsilon", [0.5, 13.0])
def test_a_target_is_kept_with_all_noises_in_proportion(vote: NoisyVote, epsilon: float) -> None:
    found = vote.within(epsilon, 300, 1e-5)
    assert epsilon * (1 - 1e-3) < found.budget(300, 1e-5) <= epsilon
    assert found.threshold_sigma / found.sigma == pytest.approx(vote.threshold_sigma / vote.sigma)
    assert found.threshold == vote.threshold


def test_the_papers_shares() -> None:
    assert Pate(teachers=250).said_vote == NoisyVote("gnmax", pytest.approx(40))
    assert Pate(teachers=250, aggregation="lnmax").said_vote == NoisyVote("lnmax", pytest.approx(20))
    confident = Pate(teachers=250, threshold=0.8).said_vote
    assert confident == NoisyVote("gnmax", pytest.approx(40), pytest.approx(200), pytest.approx(150))


def test_noise_is_secret_where_it_protects() -> None:
    assert Pate().secret_noise
    assert not Pate(sigma=0.0).secret_noise
    assert not Pate(threshold=0.8, threshold_sigma=0.0).secret_noise, "the threshold tells all"
    assert not Pate(noise=1).secret_noise


# -- cells -------------------------------------------------------------------------------------------------------------


def trained(lab: Any, *settings: str) -> Any:
    plan = lab.plan(methods=("pate",), scenarios=("split80",), settings=(*FEW, *settings))
    records = lab.train_plan(plan)
    record = next(r for r in records.values() if r.cell.role == "student")
    assert record.status == "ok", record.error_message
    return record


def test_the_budget_of_a_cell_is_kept_and_secret(lab: Any) -> None:
    record = trained(lab, "pate.target_epsilon=13", "pate.query_rate=0.25")
    values = {name.removeprefix("x_pate_"): value for name, value in record.values.items()}
    assert record.cell.secret
    assert values["releases"] == values["answered"] == 200
    assert 12.98 < values["epsilon"] <= 13
    assert values["epsilon"] <= values["epsilon_moments"]
    assert values["mu"] == pytest.approx(math.sqrt(2 * 200) / values["sigma"])
    assert (values["delta"], values["noise_public"], values["epsilon_infinite"]) == (1e-5, 0, 0)
    again = lab.train([record.cell])[record.cell.key].values
    assert again["x_pate_releases"] == 400, "a second training asked again"
    assert again["x_pate_epsilon"] > 13


def test_answers_are_drawn_once(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    honest = NoisyVote.answers

    def counted(self: NoisyVote, votes: Tensor, generator: torch.Generator) -> Tensor:
        asked.append(len(votes))
        return honest(self, votes, generator)

    monkeypatch.setattr(NoisyVote, "answers", counted)
    assert trained(lab, "pate.noise=0").values["epochs"] == 2
    assert asked == [800]


def test_without_noise_nothing_is_protected(lab: Any) -> None:
    values = trained(lab, "pate.sigma=0").values
    assert values["x_pate_epsilon_infinite"] == 1
    assert "x_pate_epsilon" not in values


def test_labels_teach_what_the_teachers_leave_open(make_lab: Callable[..., Any]) -> None:
    settings = ("pate.noise=0", "pate.threshold=1", "pate.threshold_sigma=0.01")
    alone, both = (trained(make_lab(f"w{w}"), *settings, f"pate.label_weight={w}").values for w in (0, 0.5))
    assert 0 < alone["x_pate_answered"] < 800
    assert alone["x_pate_answered"] == both["x_pate_answered"]
    assert alone["x_pate_releases"] == 800
    assert alone["top1"] != both["top1"]


def test_a_threshold_that_nothing_passes_fails_the_cell(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teachers never agree."""
    cells = [planned.cell for planned in lab.plan(methods=("pate",), scenarios=("split80",), settings=(
        *FEW, "pate.noise=0", "pate.threshold=1", "pate.threshold_sigma=0",
    )).cells]  # fmt: skip
    lab.train(cells[:-1])
    monkeypatch.setattr(pate, "count_votes", lambda logits: torch.ones(len(logits[0]), 10, dtype=torch.float64))
    record = lab.train(cells[-1:])[cells[-1].key]
    assert record.status == "failed"
    assert "none of 800 images got an answer: threshold 1.0 is too high" in record.error_message


def student(lab: Any, *settings: str, pairs: tuple[str, ...] = ()) -> Any:
    more = {"pairs": pairs} if pairs else {}
    plan = lab.plan(methods=("pate",), scenarios=("split80",), settings=settings, **more)
    return next(planned for planned in plan.cells if planned.cell.role == "student")


def test_why_it_is_skipped(lab: Any) -> None:
    assert student(lab).skip == ""
    with pytest.raises(UserError, match="101 parts of 2 images or more"):
        student(lab, "pate.teachers=101")
    assert "the pair has 2" in student(lab, pairs=("conv32+conv8:conv16",)).skip
    assert "defined for aggregation 'gnmax'" in student(lab, "pate.threshold=0.5", "pate.aggregation=lnmax").skip
    assert "noise of 0" in student(lab, "pate.target_epsilon=1", "pate.sigma=0").skip
