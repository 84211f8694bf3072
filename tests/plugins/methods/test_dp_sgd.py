"""DP-SGD: lots, gradients against plain ones, noise, and what is accounted."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods._lots import Lots, lots_epsilon, lots_sigma, renyi_epsilon
from kdharness_plugins.methods._privacy import gaussian_epsilon
from kdharness_plugins.methods._sample_gradients import SampleLoss, clipped_sum
from kdharness_plugins.methods.dp_sgd import DpSgd
from opacus.accountants.analysis.rdp import compute_rdp
from torch import nn

from kdharness.engine.member import Member
from kdharness.protocol.benchmark import load

PAIR = ("rona_small_teacher:rona_small_student",)


# -- lots and their cost -----------------------------------------------------------------------------------------------


def test_lots_are_poissons() -> None:
    lots = Lots(images=1000, size=50)
    assert (lots.rate, lots.per_epoch, lots.batch_size) == (0.05, 20, 72)
    generator = torch.Generator().manual_seed(0)
    drawn = [lot for _ in range(200) for lot in lots.drawn(generator)]
    assert len(drawn) == 4000
    sizes = torch.tensor([len(lot) for lot in drawn], dtype=torch.float64)
    assert float(sizes.mean()) == pytest.approx(50, abs=0.5)
    assert float(sizes.var()) == pytest.approx(1000 * 0.05 * 0.95, rel=0.1)
    counts = torch.bincount(torch.cat(drawn), minlength=1000).double()
    assert float(counts.mean()) == pytest.approx(200, abs=2)
    assert float(counts.var()) == pytest.approx(4000 * 0.05 * 0.95, rel=0.2)
    assert all((lot.diff() > 0).all() for lot in drawn[:50])


def test_a_set_that_is_one_lot() -> None:
    lots = Lots(images=10, size=10)
    assert (lots.rate, lots.per_epoch, lots.batch_size) == (1.0, 1, 10)
    assert [lot.tolist() for lot in lots.drawn(torch.Generator())] == [list(range(10))]


@pytest.mark.parametrize(("sigma", "rate", "lots"), [(4.0, 0.05, 1500), (1.0, 0.02, 300), (2.0, 0.3, 60)])
def test_the_accountant_beside_opacus_and_a_closed_form(sigma: float, rate: float, lots: int) -> None:
    orders = list(range(2, 200))
    renyi = compute_rdp(q=rate, noise_multiplier=sigma, steps=lots, orders=orders)
    classical = min(r + math.log(1e5) / (a - 1) for r, a in zip(renyi, orders, strict=True))
    exact, bound = lots_epsilon(sigma, rate, lots, 1e-5), renyi_epsilon(sigma, rate, lots, 1e-5)
    assert 0.6 * classical < exact < bound < classical
    assert exact < gaussian_epsilon(sigma, lots, 1e-5), "sampling costs less"


def test_without_sampling_it_is_the_gaussian_mechanism() -> None:
    assert lots_epsilon(4.0, 1.0, 60, 1e-5) == gaussian_epsilon(4.0, 60, 1e-5)
    assert lots_epsilon(4.0, 0.999, 60, 1e-5) == pytest.approx(gaussian_epsilon(4.0, 60, 1e-5), rel=0.01)
    assert lots_epsilon(4.0, 0.1, 0, 1e-5) == 0


@pytest.mark.parametrize("epsilon", [1.0, 13.0, 100.0])
def test_the_noise_is_the_least_that_keeps_a_budget(epsilon: float) -> None:
    sigma = lots_sigma(epsilon, 0.05, 400, 1e-5)
    assert lots_epsilon(sigma, 0.05, 400, 1e-5) <= epsilon
    assert lots_epsilon(0.995 * sigma, 0.05, 400, 1e-5) > epsilon


def test_noise_is_secret_where_it_protects() -> None:
    assert DpSgd().secret_noise
    assert DpSgd(sigma=0.0, target_epsilon=1.0).secret_noise
    assert not DpSgd(sigma=0.0).secret_noise
    assert not DpSgd(noise=1).secret_noise


# -- cells -------------------------------------------------------------------------------------------------------------


def planned(lab: Any, *settings: str, **more: Any) -> Any:
    plan = lab.plan(methods=("dp_sgd",), scenarios=("split80",), settings=settings, **{"pairs": PAIR, **more})
    return next(p for p in plan.cells if p.cell.method == "dp_sgd")


def trained(lab: Any, *settings: str, **more: Any) -> Any:
    cell = planned(lab, *settings, **more).cell
    record = lab.train([cell])[cell.key]
    assert record.status == "ok", record.error_message
    return record


Seen = list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]


@pytest.fixture
def gradients(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Of each lot of one batch: what is stepped with, and the plain gradient of the sum of its losses, by parameter."""
    found: Seen = []
    honest = DpSgd.update_by_lots

    def watched(self: Any, step: Any, batch: Any, model: Any) -> None:
        of_lot, whole = self.batches[-1], not self.total
        images, targets = batch.images[: of_lot.images], batch.targets[: of_lot.images]
        model.zero_grad()
        F.cross_entropy(model.run(images).logits, targets, reduction="sum").backward()
        plain = {name: p.grad.clone() for name, p in model.named_parameters()}
        advance = step.advance

        def looked_at(*arguments: Any) -> None:
            if whole:
                found.append(({name: p.grad.clone() for name, p in model.named_parameters()}, plain))
            advance(*arguments)

        step.advance = looked_at
        honest(self, step, batch, model)

    monkeypatch.setattr(DpSgd, "update_by_lots", watched)
    return found


def test_sums_of_each_image_s_gradient_are_the_gradient_of_the_sum() -> None:
    """In float64, with and without a clip."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    images, targets = torch.randn(70, 3, 2, 2, dtype=torch.float64), torch.randint(3, (70,))
    losses = partial(F.cross_entropy, reduction="none")
    one = SampleLoss([net], lambda x, y: losses(net(x), y), list(net.parameters()))
    parts = losses(net(images), targets).unbind()
    each = [torch.autograd.grad(part, list(net.parameters()), retain_graph=True) for part in parts]
    for bound in (1e12, 0.5):
        scales = [min(1.0, bound / float(torch.cat([g.flatten() for g in gs]).norm())) for gs in each]
        expected = [sum(s * gs[k] for s, gs in zip(scales, each, strict=True)) for k in range(4)]
        total, count = clipped_sum(one.gradients(images, targets), bound)
        assert count == 70
        for found, wanted in zip(total.values(), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


PLAIN = ("dp_sgd.noise=0", "dp_sgd.public_share=0", "dp_sgd.clip_norm=1e12")


def test_without_clip_and_noise_it_is_plain_sgd(lab: Any, gradients: Seen) -> None:
    """Over L, and not over the size of the lot."""
    trained(lab, *PLAIN, "dp_sgd.sigma=0", epochs=1)
    assert 15 <= len(gradients) <= 20
    for stepped, plain in gradients:
        for name, gradient in stepped.items():
            torch.testing.assert_close(gradient, plain[name] / 50, rtol=1e-4, atol=1e-6)


def test_noise_has_the_stated_deviation(lab: Any, gradients: Seen) -> None:
    trained(lab, *PLAIN[:2], "dp_sgd.clip_norm=1e-6", "dp_sgd.sigma=5e6", epochs=1)
    draws = torch.cat([g.flatten() for stepped, _ in gradients for g in stepped.values()])
    assert len(draws) > 50_000
    assert float(draws.std()) == pytest.approx(5 / 50, rel=0.02)
    assert float(draws.mean()) == pytest.approx(0, abs=1e-3)


def test_no_image_weighs_more_than_the_clip_norm(lab: Any, gradients: Seen) -> None:
    trained(lab, *PLAIN[:2], "dp_sgd.clip_norm=0.01", "dp_sgd.sigma=0", epochs=1)
    for stepped, _ in gradients:
        norm = torch.cat([g.flatten() for g in stepped.values()]).norm()
        assert 0 < float(norm) <= 0.01 * 72 / 50


def test_a_lot_over_several_batches_is_one_release(make_lab: Callable[..., Any], monkeypatch: Any) -> None:
    settings = ("dp_sgd.noise=0", "dp_sgd.sigma=0")
    whole = trained(make_lab("whole"), *settings)
    monkeypatch.setattr(Lots, "batch_size", property(lambda self: 20))
    parts = trained(make_lab("parts"), *settings)
    assert whole.values["x_dp_sgd_releases"] == parts.values["x_dp_sgd_releases"] == 20
    assert parts.values["top1"] == pytest.approx(whole.values["top1"], abs=1)


def test_the_budget_of_a_cell_is_kept_and_secret(lab: Any) -> None:
    record = trained(lab, "dp_sgd.target_epsilon=13", "dp_sgd.lot_size=100", epochs=4)
    values = {name.removeprefix("x_dp_sgd_"): value for name, value in record.values.items()}
    assert record.cell.secret
    assert (record.cell.accounted, record.cell.unprotected, record.cell.sheltered) == (True, False, True)
    assert (values["releases"], values["lot_rate"]) == (20, 0.1)
    assert 12.8 < values["epsilon"] <= 13
    assert (values["delta"], values["noise_public"], values["epsilon_infinite"]) == (1e-5, 0, 0)
    assert record.values["x_train_images"] == 1000
    again = lab.train([record.cell])[record.cell.key].values
    assert again["x_dp_sgd_releases"] == 40, "a second training drew lots again"
    assert again["x_dp_sgd_epsilon"] > 13


def test_without_noise_nothing_is_protected(lab: Any) -> None:
    values = trained(lab, "dp_sgd.sigma=0").values
    assert values["x_dp_sgd_epsilon_infinite"] == 1
    assert "x_dp_sgd_epsilon" not in values


def test_losses_on_private_images_are_told_nobody(lab: Any) -> None:
    record = trained(lab, "dp_sgd.noise=0")
    words = lab.folder.cell(record.cell.key).history.read_text().replace(",", " ").split()
    assert "public" in words
    assert "private" not in words


def test_batch_normalisation_sees_public_images_alone(make_lab: Callable[..., Any], monkeypatch: Any) -> None:
    """Its statistics after the private phase are those after the public one."""
    seen: dict[str, Any] = {}
    honest = Member.end_epoch

    def end_epoch(self: Any) -> Any:
        phase, buffers = self.clock.phase.name, self.student.named_buffers()
        seen[phase] = {name: b.clone() for name, b in buffers if "running" in name}
        return honest(self)

    monkeypatch.setattr(Member, "end_epoch", end_epoch)
    trained(make_lab(), "dp_sgd.noise=0", pairs=("conv32:conv16",))
    assert seen["public"]
    assert all(torch.equal(value, seen["private"][name]) for name, value in seen["public"].items())


def test_why_it_is_skipped(lab: Any) -> None:
    assert planned(lab).skip == ""
    assert planned(lab, "dp_sgd.public_share=0").skip == ""
    without = planned(lab, "dp_sgd.public_share=0", pairs=("conv32:conv16",)).skip
    assert "batch normalisation in private batches mixes their images" in without


def test_repeated_images_fail_the_cell(lab: Any) -> None:
    cell = planned(lab, "recipe.repeats=2", "dp_sgd.noise=0").cell
    record = lab.train([cell])[cell.key]
    assert record.status == "failed"
    assert "the recipe's repeats must be 1" in record.error_message


def test_public_images_choose_the_epoch(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = load("digits")
    rule = protocol.evaluation.model_copy(update={"validation": 0.2, "every": 1})
    chosen: set[str] = set()
    honest = Member.end_epoch

    def end_epoch(self: Any) -> Any:
        chosen.add(self.validation)
        return honest(self)

    monkeypatch.setattr(Member, "end_epoch", end_epoch)
    record = trained(lab, "dp_sgd.noise=0", benchmark=protocol.model_copy(update={"evaluation": rule}))
    assert record.values["selection"] == "validation"
    assert chosen == {"validation"}
