"""CRD: twenty steps of its authors' criterion, the draws of positives and negatives, and the state that it keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.crd import CRD, crd_loss, crd_normalisers, crd_update, draw_negatives
from torch import Tensor

from kdharness.api import Batch, BuildContext, ModelShape, StepInfo

VECTOR = Path(__file__).parents[2] / "vectors" / "crd_steps.npz"
CLASSES = 4

torch.set_num_threads(1)


def built(targets: Tensor, student: int = 5, teacher: int = 7, **parameters: Any) -> CRD:
    given = {
        "num_classes": CLASSES,
        "student": ModelShape("s", (), (), student),
        "teachers": (ModelShape("t", (), (), teacher),),
        "subset_sizes": {"train": len(targets)},
        "targets": targets,
        "class_sizes": tuple(targets.bincount(minlength=CLASSES).tolist()),
        "make_generator": lambda name, device: torch.Generator().manual_seed(3),
    }
    method = CRD(**parameters)
    torch.manual_seed(1)
    method.build(BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)}))
    return method


def batch_of(indices: Tensor, targets: Tensor) -> Batch:
    images = torch.zeros(len(indices), 1, 2, 2)
    info = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
    return Batch(images, targets[indices], info, views=(images,), indices=indices)


def outputs(embedding: Tensor) -> Any:
    return SimpleNamespace(embedding=embedding, logits=torch.zeros(len(embedding), CLASSES, requires_grad=True))


def step(method: CRD, batch: Batch, student: Tensor, teacher: Tensor) -> Tensor:
    """One step without an optimiser; the term without its weight."""
    pair = outputs(student), outputs(teacher)
    loss = method.losses(batch, *pair)["crd"] / method.weight
    with torch.no_grad():
        method.after_step(batch, *pair)
    return loss


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_twenty_steps_equal_those_of_the_authors_criterion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers were made by running RepDistiller's criterion in float64, its linear maps trained by SGD."""
    with np.load(VECTOR) as archive:
        known = {name: torch.from_numpy(archive[name]) for name in archive.files}
    size, dimension = known["memory_student"].shape
    steps, _, negatives = known["negatives"].shape
    targets = torch.arange(size) % CLASSES
    method = built(targets, dimension=dimension, negatives=negatives).double()
    with torch.no_grad():
        for side, linear in (("student", method.embed_student), ("teacher", method.embed_teacher)):
            linear.weight.copy_(known[f"weight_{side}"])
            linear.bias.copy_(known[f"bias_{side}"])
        method.memory_student.copy_(known["memory_student"])
        method.memory_teacher.copy_(known["memory_teacher"])
    optimizer = torch.optim.SGD(method.parameters(), lr=0.05, momentum=0.9)
    for k in range(steps):
        monkeypatch.setattr(method, "draw", lambda batch, k=k: (known["positives"][k], known["negatives"][k]))
        student = outputs(known["student"][k].requires_grad_())
        batch, teacher = batch_of(known["indices"][k], targets), outputs(known["teacher"][k])
        loss = method.losses(batch, student, teacher)["crd"] / method.weight
        optimizer.zero_grad()
        (gradient,) = torch.autograd.grad(loss, student.embedding, retain_graph=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            method.after_step(batch, student, teacher)
        torch.testing.assert_close(loss.detach(), known["loss"][k], rtol=1e-10, atol=0)
        torch.testing.assert_close(gradient, known["gradient"][k], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(method.memory_student, known["final_memory_student"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(method.memory_teacher, known["final_memory_teacher"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(method.normalisers, known["normalisers"], rtol=1e-10, atol=0)


def test_the_first_step_is_what_the_pure_functions_say() -> None:
    targets = torch.arange(24) % CLASSES
    method, other = built(targets, momentum=0.25), built(targets)
    batch, (s, t) = batch_of(torch.tensor([3, 8, 21]), targets), (random(3, 5), random(3, 7, seed=1))
    positives, negatives = other.draw(batch)
    v_s, v_t = (torch.nn.functional.normalize(e, dim=1) for e in (method.embed_student(s), method.embed_teacher(t)))
    banks = method.memory_student.clone(), method.memory_teacher.clone()
    z = crd_normalisers(v_s, v_t, *banks, positives, negatives, 0.07).detach()
    loss = step(method, batch, s, t)
    torch.testing.assert_close(loss, crd_loss(v_s, v_t, *banks, positives, negatives, 0.07, 24, z[0], z[1]))
    torch.testing.assert_close(method.normalisers, z)
    torch.testing.assert_close(method.memory_student, crd_update(banks[0], v_s, batch.indices, 0.25))
    torch.testing.assert_close(method.memory_teacher, crd_update(banks[1], v_t, batch.indices, 0.25))


def test_normalisers_are_those_of_the_first_batch() -> None:
    targets = torch.arange(24) % CLASSES
    method = built(targets)
    step(method, batch_of(torch.arange(6), targets), random(6, 5), random(6, 7, seed=1))
    first = method.normalisers.clone()
    assert (first > 0).all()
    step(method, batch_of(torch.arange(6, 12), targets), random(6, 5, seed=2), random(6, 7, seed=3))
    assert torch.equal(method.normalisers, first)
    assert torch.equal(method.state_dict()["normalisers"], first)


def test_a_bank_moves_the_rows_of_the_batch_and_no_others() -> None:
    targets = torch.arange(24) % CLASSES
    method = built(targets, positive="class")
    before, indices = method.memory_teacher.clone(), torch.tensor([2, 17])
    step(method, batch_of(indices, targets), random(2, 5), random(2, 7, seed=1))
    moved = (method.memory_teacher != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [2, 17]
    torch.testing.assert_close(method.memory_teacher[indices].norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("counts", [(6, 6, 6, 6), (1, 3, 4, 16), (12, 12, 0, 0)], ids=["balanced", "skewed", "two"])
def test_negatives_are_of_other_classes_and_differ_while_there_are_enough(counts: Sequence[int]) -> None:
    targets = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    own, wanted = targets == torch.tensor([[0], [1]]), 18
    drawn = draw_negatives(own, wanted, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, wanted)
    assert not own.gather(1, drawn).any()
    for row, mine in zip(drawn, own, strict=True):
        others = len(targets) - int(mine.sum())
        assert len(set(row.tolist())) == min(wanted, others)
        assert torch.equal(row[others:], row[: max(wanted - others, 0)])


def test_where_there_are_enough_the_rows_are_those_of_an_ordered_draw() -> None:
    own = torch.arange(40) % 4 == torch.arange(4).unsqueeze(1)
    one, other = (draw_negatives(own, 30, torch.Generator().manual_seed(5), enough) for enough in (False, True))
    assert torch.equal(one.sort(dim=1).values, other.sort(dim=1).values)


def test_the_order_of_negatives_moves_the_loss_by_no_more_than_rounding() -> None:
    """In float64, against the former draw, which was sorted."""
    targets = torch.arange(400) % CLASSES
    former, present = (built(targets, negatives=200).double() for _ in range(2))
    former.enough = False
    batch, pair = batch_of(torch.arange(9), targets), (random(9, 5).double(), random(9, 7, seed=1).double())
    for _ in range(3):
        torch.testing.assert_close(step(present, batch, *pair), step(former, batch, *pair), rtol=1e-10, atol=0)
    torch.testing.assert_close(present.memory_student, former.memory_student, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(present.normalisers, former.normalisers, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ("counts", "negatives", "enough"),
    [((6, 6, 6, 6), 16384, True), ((5, 6, 6, 7), 17, True), ((5, 6, 6, 7), 16384, False), ((1, 1, 1, 21), 5, False)],
)
def test_whether_there_are_enough_is_that_of_the_largest_class(
    counts: Sequence[int], negatives: int, enough: bool
) -> None:
    targets = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    method = built(targets, negatives=negatives)
    assert method.enough is enough
    drawn = method.draw(batch_of(torch.arange(24), targets))[1]
    assert not targets[drawn].eq(targets.unsqueeze(1)).any()


@pytest.mark.parametrize("enough", [False, True])
def test_every_other_row_is_drawn_as_often(enough: bool) -> None:
    own = torch.arange(10) < torch.full((6000, 1), 4)
    drawn = draw_negatives(own, 3, torch.Generator().manual_seed(0), enough)
    counts = torch.bincount(drawn.flatten(), minlength=10)
    assert counts[:4].tolist() == [0] * 4
    assert (counts[4:] - 3000).abs().max() < 5 * (6000 * 0.5 * 0.5) ** 0.5


@pytest.mark.parametrize("positive", ["own", "class"])
def test_positives(positive: str) -> None:
    targets = torch.arange(24) % CLASSES
    method, indices = built(targets, positive=positive), torch.arange(8)
    drawn = torch.stack([method.draw(batch_of(indices, targets))[0] for _ in range(200)])
    assert torch.equal(targets[drawn], targets[indices].expand(200, -1))
    assert {len(set(column.tolist())) for column in drawn.T} == {1 if positive == "own" else 6}
    assert positive == "class" or torch.equal(drawn[0], indices)


@pytest.mark.parametrize(("wanted", "drawn"), [(16384, 18), (5, 5)])
def test_fewer_negatives_are_drawn_where_images_are_few(wanted: int, drawn: int) -> None:
    targets = torch.arange(24) % CLASSES
    method = built(targets, negatives=wanted)
    assert method.draw(batch_of(torch.arange(3), targets))[1].shape == (3, drawn)


def test_the_order_of_the_batch_does_not_matter() -> None:
    size, d = 20, 8
    banks = [torch.nn.functional.normalize(random(size, d, seed=k), dim=1) for k in (0, 1)]
    vectors = [torch.nn.functional.normalize(random(4, d, seed=k), dim=1) for k in (2, 3)]
    positives = torch.arange(4)
    negatives = draw_negatives(torch.zeros(4, size, dtype=torch.bool), 6, torch.Generator().manual_seed(0))
    order = torch.tensor([2, 0, 3, 1])
    rest = (0.07, size, 30.0, 40.0)
    one = crd_loss(*vectors, *banks, positives, negatives, *rest)
    other = crd_loss(*(v[order] for v in vectors), *banks, positives[order], negatives[order].flip(1), *rest)
    torch.testing.assert_close(one, other)


def test_gradient_reaches_the_student_and_both_maps_and_no_bank() -> None:
    targets = torch.arange(24) % CLASSES
    method, student = built(targets), random(2, 5).requires_grad_()
    pair = outputs(student), outputs(random(2, 7, seed=1).bfloat16().float())
    method.losses(batch_of(torch.tensor([0, 5]), targets), *pair)["crd"].backward()
    for tensor in (student, *method.parameters()):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
        assert tensor.grad.any()
    assert not any(buffer.requires_grad for buffer in method.buffers())
