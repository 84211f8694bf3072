"""A distillation token for transformers, and function matching: who learns from whom, and from which images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.deit import DeiT, deit_token_loss
from kdharness_plugins.methods.funmatch import FunMatch
from kdharness_plugins.methods.kd import kd_loss
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Outputs, StepInfo
from kdharness.planning.cell import Cell
from kdharness.testing import Lab, MethodCase, parametrize_with_checks

INFO = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
SAMPLES, CLASSES = 6, 5


def logits(seed: int, samples: int = SAMPLES, classes: int = CLASSES) -> Tensor:
    return 2 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed))


def batch_of(samples: int = SAMPLES, classes: int = CLASSES, soft: Tensor | None = None) -> Batch:
    images = torch.zeros(samples, 1, 2, 2)
    return Batch(images, torch.arange(samples) % classes, INFO, views=(images,), soft_targets=soft)


def heads(first: Tensor, second: Tensor) -> Outputs:
    nothing: Any = None
    return Outputs(nothing, (first + second) / 2, {}, {"class": first, "distillation": second})


def plain(given: Tensor) -> Outputs:
    nothing: Any = None
    return Outputs(nothing, given, {})


def cells_of(lab: Lab, method: str, *settings: str, **chosen: Any) -> list[Cell]:
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=settings, **chosen)
    return [p.cell for p in plan.cells if p.cell.method == method]


# -- deit --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_each_head_has_a_teacher_of_its_own(kind: Any) -> None:
    own, token, teacher = (logits(seed).requires_grad_() for seed in range(3))
    found = DeiT(kind=kind, alpha=0.3, temperature=2.0).losses(batch_of(), heads(own, token), plain(teacher))
    if kind == "hard":
        taught = F.cross_entropy(token, teacher.argmax(dim=1))
    else:
        p, q = (teacher / 2).softmax(1), (token / 2).softmax(1)
        taught = 4 * (p * (p.log() - q.log())).sum() / SAMPLES
    torch.testing.assert_close(found["ce"], 0.7 * F.cross_entropy(own, torch.arange(SAMPLES) % CLASSES))
    torch.testing.assert_close(found["deit"], 0.3 * taught)
    for term, learns, not_ in (("ce", own, token), ("deit", token, own)):
        slopes = torch.autograd.grad(found[term], [learns, not_, teacher], allow_unused=True, retain_graph=True)
        assert slopes[0] is not None
        assert slopes[0].any()
        assert slopes[1:] == (None, None)


def test_the_soft_divergence_is_not_divided_by_the_number_of_classes() -> None:
    """That of the authors' code is. An extra class that nobody believes in changes nothing."""
    student, teacher = logits(0), logits(1)
    nobody = torch.full((SAMPLES, 1), -1e4)
    found = [
        deit_token_loss(s, t, "soft", 3.0)
        for s, t in ((student, teacher), (torch.cat([student, nobody], 1), torch.cat([teacher, nobody], 1)))
    ]
    torch.testing.assert_close(found[0], found[1])
    assert deit_token_loss(student, student, "soft", 3.0).item() == pytest.approx(0, abs=1e-6)


def test_labels_of_mixed_images_go_to_the_class_head_alone() -> None:
    own, token, teacher, soft = logits(0), logits(1), logits(2), logits(3).softmax(1)
    found = DeiT().losses(batch_of(soft=soft), heads(own, token), plain(teacher))
    torch.testing.assert_close(found["ce"], 0.5 * F.cross_entropy(own, soft))
    torch.testing.assert_close(found["deit"], 0.5 * F.cross_entropy(token, teacher.argmax(1)))


@pytest.mark.parametrize("classes", [2, CLASSES])
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_batch_of_two_and_sure_logits_in_bf16_are_finite(kind: Any, classes: int) -> None:
    own, token, teacher = ((200 * logits(seed, 2, classes)).bfloat16().requires_grad_() for seed in range(3))
    found = DeiT(kind=kind).losses(batch_of(2, classes), heads(own, token), plain(teacher))
    torch.stack(list(found.values())).sum().backward()
    assert all(term.isfinite() for term in found.values())
    assert all(head.grad is not None and head.grad.isfinite().all() for head in (own, token))
    assert teacher.grad is None


@pytest.mark.parametrize("student", ["conv8", "vit_micro_p2"])
def test_a_student_without_the_token_is_skipped_with_a_line(student: str, lab: Lab) -> None:
    plan = lab.plan(methods=("deit",), scenarios=("few100",), pairs=(f"conv16:{student}",))
    (reason,) = [p.skip for p in plan.cells if p.cell.method == "deit"]
    assert reason == f"needs a student with a distillation token: '{student}' has no output 'class'"


def test_both_heads_are_evaluated_as_their_mean(lab: Lab) -> None:
    plan = lab.plan(methods=("deit",), scenarios=("few100",), pairs=("conv16:deit_micro_p2",))
    (key,) = [p.cell.key for p in plan.cells if p.cell.method == "deit"]
    assert lab.train_plan(plan)[key].status == "ok"
    model = lab.registry.get("model", "deit_micro_p2").spec.factory(10, (1, 8, 8))
    made = model.eval()(torch.rand(3, 1, 8, 8))
    torch.testing.assert_close(made["logits"], (made["class"] + made["distillation"]) / 2)


# -- funmatch ----------------------------------------------------------------------------------------------------------


def test_the_teachers_function_is_matched_and_labels_are_not_read() -> None:
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    for soft in (None, logits(3).softmax(1)):
        found = FunMatch(temperature=2.0).losses(batch_of(soft=soft), plain(student), plain(teacher))
        assert set(found) == {"funmatch"}
        torch.testing.assert_close(found["funmatch"], kd_loss(student, teacher, 2.0))
    found["funmatch"].backward()
    assert teacher.grad is None
    assert FunMatch().losses(batch_of(), plain(student), plain(student))["funmatch"].item() == pytest.approx(
        0, abs=1e-6
    )


def test_every_batch_is_mixed_the_same_for_both_networks_whatever_the_recipe_mixes(lab: Lab) -> None:
    seen: list[tuple[str, float]] = []

    class Watching(FunMatch):
        """Function matching that notes what it sees."""

        name = "watching"

        def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
            assert batch.mixing is not None
            seen.append((batch.mixing.kind, batch.mixing.share.item()))
            torch.testing.assert_close(student.logits, student.model.run(batch.images).logits)
            torch.testing.assert_close(teacher.logits, teacher.model.run(batch.images).logits)
            return super().losses(batch, student, teacher)

    case = MethodCase(MethodSpec.of(Watching), {}, "conv16:conv8", 3)
    cell = case.cell
    watched = Lab(lab.path, given=case.registry)
    records = watched.train_plan(case.plan)
    assert records[cell.key].status == "ok"
    shares = [share for _, share in seen]
    assert {kind for kind, _ in seen} == {"mixup"}
    assert len(set(shares)) > 3
    assert 0 <= min(shares) < 0.5 < max(shares) <= 1
    (phase,) = Watching().phases()
    assert dict(phase.recipe) == {
        "mixup": 1.0,
        "cutmix": 0.0,
        "mixing_probability": 1.0,
        "mixing_off_epoch": None,
    }


def test_patience_stretches_the_epochs(lab: Lab) -> None:
    (cell,), (patient,) = cells_of(lab, "funmatch"), cells_of(lab, "funmatch", "funmatch.length=3")
    (plain_again,) = cells_of(lab, "funmatch", "funmatch.length=1")
    assert cell.key == plain_again.key != patient.key
    plan = lab.plan(methods=("funmatch",), scenarios=("few100",), settings=("funmatch.length=3",))
    record = lab.train_plan(plan)[patient.key]
    assert (record.status, record.values["epochs"]) == ("ok", 6)


def made(name: str) -> list[Method]:
    return [DeiT(kind="soft")] if name == "deit" else [FunMatch()]


@pytest.mark.parametrize("name", ["deit", "funmatch"])
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    (method,), order = made(name), torch.tensor([4, 2, 0, 1, 5, 3])
    own, token, teacher = (logits(seed) for seed in range(3))
    batch = batch_of()
    moved = Batch(batch.images, batch.targets[order], INFO, views=batch.views)
    one = method.losses(batch, heads(own, token), plain(teacher))
    other = method.losses(moved, heads(own[order], token[order]), plain(teacher[order]))
    for term, value in one.items():
        torch.testing.assert_close(value, other[term])


CASES = [
    MethodCase(MethodSpec.of(DeiT, revision=1), {"kind": "soft"}, "conv16:deit_micro_p2"),
    MethodCase(MethodSpec.of(FunMatch, revision=1), {}, "conv16:deit_micro_p2"),
]


@parametrize_with_checks(CASES)
def test_transformers(check: Callable[[], None]) -> None:
    check()
