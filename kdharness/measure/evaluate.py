"""Evaluation of several cells: images are made once for all of them, and each cell is entered once for many batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from kdharness.data.images import DeviceImages
from kdharness.data.watched import Summed
from kdharness.device.checksum import Balance
from kdharness.errors import CellError, Contained
from kdharness.measure.predict import forward, joined, once, parts
from kdharness.measure.stored import as_stored
from kdharness.measure.subject import Subject

# Pixels that one cell sees before the next: to enter a cell takes as long as a small network's batch.
SIDE_BY_SIDE_BYTES = 2**24


@contextmanager
def eval_modes(subject: Subject) -> Iterator[nn.Module]:
    """Everything of the cell in eval mode, then in train mode. Gives its predictor."""
    _to_eval(subject)
    try:
        yield subject.predictor
    finally:
        _to_train(subject)


def _to_eval(subject: Subject) -> None:
    subject.student.eval()
    subject.method.eval()
    subject.predictor.eval()


def _to_train(subject: Subject) -> None:
    subject.student.train()
    subject.method.train()


@contextmanager
def evaluated(subject: Subject) -> Iterator[nn.Module]:
    """The cell's predictor in eval mode, in the cell's own turn."""
    with subject.isolated(), eval_modes(subject) as predictor:
        yield predictor


def predict_together(
    subjects: Sequence[Subject], images: DeviceImages, rows: Tensor, balance: Balance
) -> list[dict[str, Tensor] | Exception]:
    """For each cell the logits by predictor's name, [n, classes], as stored. What one raises stands in its place.

    balance: takes what the images were and what they are.
    """
    chunks: list[list[dict[str, Tensor]]] = [[] for _ in subjects]
    failures: dict[int, Exception] = {}
    if not subjects:
        return []
    with ExitStack() as modes:
        for k, subject in enumerate(subjects):
            modes.enter_context(_own_modes(subject, k, failures))
        for number, spread in enumerate(_spreads(parts(rows, images, subjects[0].device), images)):
            shown: _Shown | None = None
            for k, subject in enumerate(subjects):
                if k in failures:
                    continue
                if shown is not None and number == 0:  # a fault shows at once, as a rule: here it is known whose it is
                    shown.watched.settle(balance)
                with _noted(subject, k, failures):
                    if shown is None:
                        shown = _Shown([images.pixels(part) for part in spread])
                    else:
                        shown.seen = shown.seen or number > 0
                    with subject.isolated():
                        chunks[k] += [_outputs(subject, subject.predictor, batch) for batch in shown.batches]
                if shown is not None and shown.watched.changed:
                    shown.watched.settle(balance, doubted=shown.seen)
                    shown = None
                    failures[k] = _changed(failures.get(k))
            if shown is not None:
                shown.watched.settle(balance)
    found: dict[int, dict[str, Tensor]] = {}
    for k, subject in enumerate(subjects):
        if k not in failures:
            with _noted(subject, k, failures):
                found[k] = once(as_stored, joined(chunks[k]))
    return [failures[k] if k in failures else found[k] for k in range(len(subjects))]


@contextmanager
def _own_modes(subject: Subject, number: int, failures: dict[int, Exception]) -> Iterator[None]:
    """Eval mode beside others: train() and eval() are a plugin's code, too, and what they raise is noted."""
    with _noted(subject, number, failures):
        _to_eval(subject)
    try:
        yield
    finally:
        with _noted(subject, number, failures):
            _to_train(subject)


class _Shown:
    """Batches of images that are shown to several cells.

    seen: whether a cell saw them before, and nobody looked since.
    """

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self.batches = batches
        self.seen = False
        self.watched = Summed()
        self.watched.watch({f"images[{number}]": batch for number, batch in enumerate(batches)})


def _spreads(batches: Sequence[Tensor], images: DeviceImages) -> Iterator[Sequence[Tensor]]:
    """The batches, as many at a time as lie side by side."""
    largest = batches[0].numel() * math.prod(images.images.shape[1:]) * torch.float32.itemsize
    count = max(1, SIDE_BY_SIDE_BYTES // max(1, largest))
    return (batches[start : start + count] for start in range(0, len(batches), count))


def _changed(cause: Exception | None) -> CellError:
    error = CellError("SharedStateChanged", "its predictor changed the images in place that it was shown")
    error.__cause__ = cause
    return error


def _outputs(subject: Subject, predictor: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """One batch's logits by name; with averaged weights each output has a twin."""
    outputs = forward(predictor, images)
    if subject.averages is None:
        return outputs
    with subject.averages.in_place():
        return subject.averages.both(outputs, forward(predictor, images))


def _noted(subject: Subject, number: int, failures: dict[int, Exception]) -> Contained:
    """A block of one cell's evaluation. What it raises is noted under the cell's number."""
    return subject.device.contained(lambda error: failures.update({number: error}))


def top1(logits: Tensor, targets: Tensor) -> float:
    """Percent of samples whose largest logit is the target's."""
    return float((logits.argmax(1) == targets.to(logits.device)).double().mean()) * 100
