"""Edits of the teacher's logits by the labels, and weights of samples, with any loss of logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.methods._edits import corrected_logits, edited_logits, revised_logits, sort_logits, swap_logits
from kdharness_plugins.methods._logits import LogitMethod, eakd_weight
from kdharness_plugins.methods.dkd import dkd_loss
from kdharness_plugins.methods.kd import kd_loss
from kdharness_plugins.methods.rc import rc_loss
from kdharness_plugins.methods.revision import revision_loss
from kdharness_plugins.methods.sld import sld_loss
from torch import Tensor

from kdharness.api import Batch, Outputs, StepInfo
from kdharness.cli.main import execute
from kdharness.testing import Lab, MethodCase, method_checks

SPECS = {spec.name: spec for spec in kdharness_methods()}
WITH_EDITS = sorted(name for name, spec in SPECS.items() if any(p.name == "edit" for p in spec.parameters))
SAMPLES, CLASSES = 6, 5
TARGETS = torch.tensor([3, 0, 4, 3, 1, 2])

torch.set_num_threads(1)


def draw(seed: int) -> Tensor:
    return 2 * torch.randn(SAMPLES, CLASSES, generator=torch.Generator().manual_seed(seed))


class Context:
    """What these methods look at when they are built."""

    num_classes = CLASSES
    teachers = ("big",)
    targets = TARGETS


def outputs(logits: Tensor) -> Outputs:
    nothing: Any = None
    return Outputs(nothing, logits, {})


def batch_of(targets: Tensor = TARGETS, progress: float = 0.75) -> Batch:
    images = torch.zeros(len(targets), 1, 8, 8)
    step = StepInfo("train", torch.tensor(int(40 * progress)), 40, torch.tensor(progress))
    return Batch(images, targets, step, views=(images,))


def term(name: str, student: Tensor, teacher: Tensor, targets: Tensor = TARGETS, **parameters: Any) -> Tensor:
    """The first distillation term."""
    method = SPECS[name].factory(**parameters)
    if name in ("ctkd", "wkd_l"):
        context: Any = Context()
        method.build(context)
    losses = method.losses(batch_of(targets), outputs(student), outputs(teacher))
    return losses[next(term for term, tag in method.terms.items() if tag == "distill")]


# Class 2 is the largest, the label is class 0, third of four.
LOGITS = torch.tensor([[1.0, 3.0, 4.0, 0.0]])
LABEL = torch.tensor([0])


def test_each_edit_does_what_it_says() -> None:
    assert swap_logits(LOGITS, LABEL).tolist() == [[4, 3, 1, 0]]
    assert sort_logits(LOGITS, LABEL).tolist() == [[4, 1, 3, 0]]
    assert corrected_logits(LOGITS, LABEL).tolist() == [[5, 3, 4, 0]]
    p = LOGITS.softmax(1)
    b = 0.8 / (p[0, 2] - p[0, 0] + 1)
    expected = b * p + (1 - b) * torch.tensor([[1.0, 0, 0, 0]])
    torch.testing.assert_close(revised_logits(LOGITS, LABEL).softmax(1), expected)


@pytest.mark.parametrize("edit", [swap_logits, sort_logits, revised_logits])
def test_a_teacher_that_is_right_is_left_alone(edit: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert torch.equal(edit(LOGITS, torch.tensor([2])), LOGITS)


@pytest.mark.parametrize("edit", [swap_logits, sort_logits, revised_logits, corrected_logits])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_label_comes_first_after_every_edit(edit: Callable[[Tensor, Tensor], Tensor], scale: float) -> None:
    """corrected: where the largest logit is positive, and the label's not far below zero."""
    teacher = scale * draw(2).abs()
    edited = edit(teacher, TARGETS)
    assert edited.isfinite().all()
    assert torch.equal(edited.argmax(dim=1), TARGETS)


@pytest.mark.parametrize("edit", [swap_logits, sort_logits])
def test_values_only_change_places(edit: Callable[[Tensor, Tensor], Tensor]) -> None:
    teacher = draw(2)
    assert torch.equal(edit(teacher, TARGETS).sort(dim=1).values, teacher.sort(dim=1).values)


@pytest.mark.parametrize("edit", ["swap", "sort", "revision", "rc"])
def test_kd_of_edited_logits(edit: Any) -> None:
    student, teacher = draw(1).requires_grad_(), draw(2)
    expected = 0.9 * kd_loss(student, edited_logits(edit, student, teacher, TARGETS), 4.0)
    found = term("kd", student, teacher, edit=edit)
    torch.testing.assert_close(found, expected)
    assert found.item() != pytest.approx(term("kd", student, teacher).item())


def test_the_students_own_answer_carries_no_gradient_as_a_teacher() -> None:
    student = draw(1).requires_grad_()
    taught = corrected_logits(student.detach(), TARGETS)
    (found,) = torch.autograd.grad(term("kd", student, draw(2), edit="rc"), student)
    (expected,) = torch.autograd.grad(0.9 * kd_loss(student, taught, 4.0), student)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", WITH_EDITS)
def test_every_loss_of_logits_takes_every_edit_and_the_weights(name: str) -> None:
    student, teacher = draw(1).requires_grad_(), draw(2).requires_grad_()
    plain = term(name, student, teacher)
    for parameters in [{"weighting": "entropy"}, *({"edit": edit} for edit in ("swap", "sort", "revision", "rc"))]:
        changed = term(name, student, teacher, **parameters)
        changed.backward()
        assert changed.isfinite()
        assert changed.item() != pytest.approx(plain.item(), rel=1e-6), parameters
    assert teacher.grad is None
    assert student.grad is not None
    assert student.grad.isfinite().all()


# -- weights -----------------------------------------------------------------------------------------------------------


def test_the_weight_of_two_networks_that_know_nothing_is_the_largest_entropy() -> None:
    """With a bound of 100 in place of ln C, as public code has for 100 classes, it would be about half of it."""
    nothing = torch.zeros(3, CLASSES)
    torch.testing.assert_close(eakd_weight(nothing, nothing, 3.0), torch.full((3,), math.log(CLASSES)))
    sure = torch.zeros(3, CLASSES).index_fill(1, torch.tensor([1]), 300.0)
    assert eakd_weight(nothing, sure, 3.0).abs().max() < 1e-6
    torch.testing.assert_close(eakd_weight(sure, nothing, 3.0), torch.full((3,), math.log(CLASSES) / 2))


@pytest.mark.parametrize("name", WITH_EDITS)
def test_each_sample_counts_with_its_weight(name: str) -> None:
    """One sample at a time: a mean over a batch of one is its own loss."""
    student, teacher = draw(1), draw(2)
    rows = [slice(k, k + 1) for k in range(SAMPLES)]
    each = torch.stack([term(name, student[k], teacher[k], TARGETS[k]) for k in rows])
    torch.testing.assert_close(term(name, student, teacher), each.mean())
    found = term(name, student, teacher, weighting="entropy", weight_temperature=2.0)
    torch.testing.assert_close(found, (eakd_weight(student, teacher, 2.0) * each).mean())


def test_no_gradient_flows_through_the_weights() -> None:
    student, teacher = draw(1).requires_grad_(), draw(2)
    weights = eakd_weight(student.detach(), teacher, 3.0)
    expected = sum(
        weights[k] * dkd_loss(student[k : k + 1], teacher[k : k + 1], TARGETS[k : k + 1], 1.0, 8.0, 4.0) / SAMPLES
        for k in range(SAMPLES)
    )
    assert isinstance(expected, Tensor)
    (wanted,) = torch.autograd.grad(expected, student)
    (found,) = torch.autograd.grad(term("dkd", student, teacher, weighting="entropy"), student)
    torch.testing.assert_close(found, wanted)


# -- as a user meets them ----------------------------------------------------------------------------------------------


def test_an_edit_reads_labels_and_says_so() -> None:
    def declared(name: str, **parameters: Any) -> str:
        method = SPECS[name].factory(**parameters)
        assert isinstance(method, LogitMethod)
        return method.mixed_labels

    assert declared("kd") == declared("kd", weighting="entropy") == "mix"
    assert declared("kd", edit="swap") == declared("dkd") == "larger"


@pytest.mark.parametrize(
    "parameters", [{"edit": "sort"}, {"weighting": "entropy"}, {"edit": "rc", "weighting": "entropy"}]
)
@pytest.mark.parametrize(
    "check",
    [
        "check_no_read_back_in_a_step",
        "check_step_can_be_replayed",
        "check_rehearsal_on_a_fake_accelerator",
        "check_rehearsal_of_the_whole_step_on_meta",
        "check_mixed_labels_are_read_as_declared",
    ],
)
def test_they_pass_what_methods_have_to(parameters: dict[str, str], check: str) -> None:
    dict(method_checks(MethodCase(SPECS["dkd"], parameters)))[check]()


def test_neutral_ones_are_in_no_key(make_lab: Callable[..., Lab]) -> None:
    def key(*settings: str) -> str:
        (cell,) = [p.cell for p in make_lab().plan(methods=("kd",), settings=settings).cells if p.cell.method == "kd"]
        return cell.key

    assert key() == key("kd.edit=none", "kd.weighting=none", "kd.weight_temperature=3")
    assert len({key(), key("kd.edit=swap"), key("kd.weighting=entropy")}) == 3


def test_they_are_asked_for_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    run = ["run", "--methods", "kd,dkd", "--dry-run", "--seeds", "0", "--out", str(tmp_path)]
    assert execute([*run, "--set", "kd.edit=swap", "--set", "dkd.weighting=entropy"]) == 0
    shown = capsys.readouterr().out
    assert "kd[edit=swap]" in shown
    assert "dkd[weighting=entropy]" in shown


@pytest.mark.parametrize(
    ("setting", "says"),
    [("kd.edit=swp", "swap"), ("dist.edit=swap", "dist"), ("kd.weight_temperature=0", "weight_temperature")],
)
def test_a_mistake_is_one_line(setting: str, says: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """dist is no mean over samples, and does not have them."""
    assert execute(["run", "--methods", "kd,dist", "--dry-run", "--set", setting, "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


# -- methods of their own ----------------------------------------------------------------------------------------------


def test_methods_of_their_own_are_kd_with_an_edit_or_weights() -> None:
    student, teacher = draw(1), draw(2)
    torch.testing.assert_close(term("eakd", student, teacher), term("kd", student, teacher, weighting="entropy"))
    torch.testing.assert_close(term("sort", student, teacher), term("kd", student, teacher, edit="sort"))
    torch.testing.assert_close(term("swap", student, teacher), term("kd", student, teacher, edit="swap", weight=1.0))


def test_rc_has_the_teacher_and_itself() -> None:
    student, teacher = draw(1), draw(2)
    losses = SPECS["rc"].factory(rc_weight=0.5).losses(batch_of(), outputs(student), outputs(teacher))
    torch.testing.assert_close(losses["kd"], 0.9 * kd_loss(student, teacher, 4.0))
    torch.testing.assert_close(losses["rc"], 0.5 * kd_loss(student, corrected_logits(student, TARGETS), 4.0))


def test_revision_by_hand() -> None:
    """The first teacher is right, the second wrong: its label has probability 1/6 of 1/6, 2/3, 1/6."""
    teacher = torch.log(torch.tensor([[0.7, 0.2, 0.1], [1 / 6, 2 / 3, 1 / 6]]))
    student = torch.log(torch.tensor([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5]]))
    b = 0.8 / 1.5
    revised = [b / 6 + 1 - b, b * 2 / 3, b / 6]
    right = -math.log(0.5) + 4 * sum((math.log(p / q)) ** 2 for p, q in ((7, 5), (2, 3), (1, 2))) / 3
    wrong = 2 * sum((p - q) ** 2 for p, q in zip((0.25, 0.25, 0.5), revised, strict=True)) / 3
    found = revision_loss(student, teacher, torch.tensor([0, 0]), 4.0, 2.0, 0.8)
    assert found.item() == pytest.approx(right + wrong, rel=1e-5)


@pytest.mark.parametrize("label", [0, 1])
def test_a_teacher_that_is_always_right_or_always_wrong_gives_finite_gradients(label: int) -> None:
    teacher = torch.tensor([[3.0, 1.0, 0.0], [5.0, -1.0, 2.0]])
    student = torch.zeros(2, 3, requires_grad=True)
    loss = revision_loss(student, teacher, torch.tensor([label, label]), 4.0, 1.0, 0.8)
    loss.backward()
    assert loss.isfinite()
    assert student.grad is not None
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() > 0


def two_views(first: Tensor, second: Tensor) -> Outputs:
    other = outputs(second)
    return outputs(first).beside([None, lambda: other])


@pytest.mark.parametrize(("progress", "late"), [(0.5, False), (0.625, True), (0.9, True)])
def test_sld_sums_its_views_and_brings_the_student_in_late(progress: float, late: bool) -> None:
    students, teachers = (draw(1), draw(3)), (draw(2), draw(4))
    method = SPECS["sld"].factory(temperatures=(1.0, 3.0))
    losses = method.losses(batch_of(progress=progress), two_views(*students), two_views(*teachers))
    expected = sum(
        sld_loss(s, t, TARGETS, (1.0, 3.0), swap_student=late) for s, t in zip(students, teachers, strict=True)
    )
    assert (losses["sld"] + losses["own"]).item() == pytest.approx(0.9 * float(expected), rel=1e-5)
    assert (losses["own"].item() > 0) == late
    ce = sum(float(torch.nn.functional.cross_entropy(s, TARGETS)) for s in students)
    assert losses["ce"].item() == pytest.approx(0.1 * ce, rel=1e-5)


def test_sld_of_one_view_reads_one() -> None:
    method = SPECS["sld"].factory(views=1)
    assert [view.name for view in method.reads.declared_views] == ["recipe"]
    losses = method.losses(batch_of(), outputs(draw(1)), outputs(draw(2)))
    found = sum(float(losses[name]) for name in ("sld", "own"))
    assert found == pytest.approx(0.9 * sld_loss(draw(1), draw(2), TARGETS, range(1, 7), True).item(), rel=1e-5)


@pytest.mark.parametrize("loss", ["sld", "rc"])
def test_a_student_that_teaches_itself_gets_no_gradient_as_the_teacher(loss: str) -> None:
    """Public code of sld forgets it: the same loss, another gradient."""
    student = draw(1).requires_grad_()
    if loss == "sld":
        own = sld_loss(student, draw(2), TARGETS, [4.0], True) - sld_loss(student, draw(2), TARGETS, [4.0], False)
        taught = swap_logits(student.detach(), TARGETS)
    else:
        own, taught = rc_loss(student, TARGETS, 4.0), corrected_logits(student.detach(), TARGETS)
    (found,) = torch.autograd.grad(own, student)
    (expected,) = torch.autograd.grad(kd_loss(student, taught, 4.0), student)
    torch.testing.assert_close(found, expected)
