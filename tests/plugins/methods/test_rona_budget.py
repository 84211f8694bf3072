"""RONA with a budget that is given, and the control that asks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from kdharness_plugins.methods._budget import batches_of, sigma_for
from kdharness_plugins.methods._privacy import gaussian_epsilon
from kdharness_plugins.methods.rona import Rona

from kdharness.data.batches import batch_bounds

SHORT = (
    "rona.hint_epochs=1", "rona.warm_epochs=1", "rona.iterations=2", "rona.distill_epochs=1", "rona.self_epochs=1",
    "rona.follow_recipe=false", "rona.query_rate=0.1",
)  # fmt: skip

# The paper's: MNIST, SVHN, CIFAR-10.
BUDGETS = [(9.60, 1e-5), (9.83, 1e-6), (8.87, 1e-5)]


@pytest.mark.parametrize(("epsilon", "delta"), [*BUDGETS, (0.01, 1e-5), (1.0, 1e-9), (500.0, 1e-5)])
@pytest.mark.parametrize("releases", [1, 80, 3200 * 512])
def test_the_noise_is_the_least_that_keeps_a_budget(epsilon: float, delta: float, releases: int) -> None:
    sigma = sigma_for(epsilon, releases, delta)
    assert epsilon * (1 - 1e-3) < gaussian_epsilon(sigma, releases, delta) <= epsilon
    assert gaussian_epsilon(sigma * (1 - 1e-5), releases, delta) > epsilon


def test_the_largest_count_of_a_known_noise_gives_it_back() -> None:
    """Of the accounting table: at sigma 10, 331 releases spend 9.81 at delta 1e-6."""
    assert sigma_for(9.81, 331, 1e-6) == pytest.approx(10, rel=2e-3)


@pytest.mark.parametrize("samples", [1, 2, 39, 40, 41, 42, 80, 81])
def test_batches_are_counted_as_they_are_made(samples: int) -> None:
    assert batches_of(samples, 40) == len(batch_bounds(samples, 40))


def trained(lab: Any, *changes: str) -> Any:
    plan = lab.plan(methods=("rona",), scenarios=("split80",), settings=(*SHORT, *changes), epochs=1)
    records = lab.train_plan(plan)
    record = next(r for r in records.values() if r.cell.role == "student")
    assert record.status == "ok", record.error_message
    return record


@pytest.mark.parametrize(("mechanism", "releases"), [("output", 3 * 80), ("gradient", 3 * 3)])
def test_a_budget_is_spent_to_its_end(lab: Any, mechanism: str, releases: int) -> None:
    settings = (f"rona.mechanism={mechanism}", "rona.target_epsilon=9.83", "rona.delta=1e-6")
    values = trained(lab, *settings, "rona.distill_batch_size=32").values
    assert values["x_rona_releases"] == releases
    assert values["x_rona_sigma"] == sigma_for(9.83, releases, 1e-6)
    assert 9.82 < values["x_rona_epsilon"] <= 9.83
    assert values["x_rona_epsilon_infinite"] == 0


def test_a_term_left_out_spends_less(lab: Any) -> None:
    settings = ("rona.mechanism=gradient", "rona.target_epsilon=9.83", "rona.without=hint")
    values = trained(lab, *settings).values
    assert values["x_rona_epochs_queried"] == 2
    assert 0 < values["x_rona_epsilon"] < 9


def test_noise_is_secret_where_it_protects() -> None:
    private = {"mechanism": "gradient"}
    assert Rona(**private).secret_noise
    assert Rona(**private, sigma=0.0, target_epsilon=1.0).secret_noise, "sigma is solved for"
    assert not Rona(**private, sigma=0.0).secret_noise
    assert not Rona(**private, target_epsilon=1.0, asks=False).secret_noise, "nothing is released"
    assert not Rona(**private, target_epsilon=1.0, noise=3).secret_noise


def test_a_budget_needs_a_mechanism_that_keeps_it(lab: Any) -> None:
    plan = lab.plan(methods=("rona",), scenarios=("split80",), settings=("rona.target_epsilon=1",), epochs=1)
    (reason,) = {planned.skip for planned in plan.cells if planned.cell.role == "student"}
    assert reason.endswith("has a target_epsilon, and mechanism 'loss_scalar' is not private")


def test_the_control_asks_nothing_and_makes_as_many_updates(make_lab: Callable[..., Any]) -> None:
    values, control, silent = (
        trained(make_lab(name), *changes).values
        for name, changes in (
            ("asks", ()), ("control", ("rona.asks=false",)), ("silent", ("rona.without=hint,distill",))
        )
    )  # fmt: skip
    assert values["x_rona_samples_queried"] == 3 * 80
    for alone in (control, silent):
        assert [alone[f"x_rona_{n}"] for n in ("samples_queried", "epochs_queried", "epsilon_infinite")] == [0, 0, 0]
    assert control["top1"] != silent["top1"]
