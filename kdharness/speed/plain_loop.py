"""A training loop as people write it: one image at a time in worker processes, a teacher for each method, numbers read
back in every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from kdharness.api import Batch, Method, Phase, StagedModel, StepInfo
from kdharness.api.data import Augmentation, ImageDataset
from kdharness.api.declarations import View
from kdharness.api.prepared import Prepare
from kdharness.device.clock import Clock
from kdharness.engine.cell_state import CellState
from kdharness.engine.phase_clock import Place
from kdharness.speed.stopwatch import BACKWARD, EVALUATION, LOSS, OPTIMIZER, STUDENT, TEACHER, VIEWS

# Hooks of a method that the loop does not call.
_NOT_CALLED = ("update", "transform", "select", "before_epoch", "after_epoch")


def reason_against(method: Method[Any]) -> str:
    """Why the loop cannot train a method; "" where it can."""
    reads = method.reads
    own = [name for name in _NOT_CALLED if getattr(type(method), name) is not getattr(Method, name)]
    if own:
        return f"has a {own[0]}() of its own"
    if reads.teachers == "many":
        return "reads several teachers"
    if tuple(reads.declared_views) != (View("recipe"),) or reads.partners != "none":
        return "reads further views or partners"
    if method.private_teacher:
        return "changes its teacher"
    return "" if tuple(method.phases()) == (Phase(),) else "has phases of its own"


class Pictures(Dataset[tuple[Tensor, int, int]]):
    """A split as PIL images: cropped and flipped, if at all, then normalised, one by one. Also gives the position."""

    def __init__(self, dataset: ImageDataset, split: str, augmentation: Augmentation | None) -> None:
        from torchvision import transforms  # takes seconds

        images = dataset.splits[split].images
        size = images.shape[2:]
        self.pictures = [Image.fromarray(image.transpose(1, 2, 0).squeeze()) for image in images]
        self.targets = dataset.splits[split].targets.tolist()
        steps: list[Any] = [transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
        if augmentation is not None and augmentation.flip:
            steps.insert(0, transforms.RandomHorizontalFlip())
        if augmentation is not None and augmentation.crop_padding:
            steps.insert(0, transforms.RandomCrop(size, padding=augmentation.crop_padding))
        self.transform: Callable[[Image.Image], Tensor] = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, position: int) -> tuple[Tensor, int, int]:
        return self.transform(self.pictures[position]), self.targets[position], position


@dataclass
class Meter:
    """An average, as such loops keep it."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float, count: int) -> None:
        self.total += value * count
        self.count += count

    @property
    def mean(self) -> float:
        return self.total / max(self.count, 1)


@dataclass
class PlainLoop:
    """Trains one cell for epochs.

    state: the cell as the engine builds it. teacher: its own. train, test: its pictures.
    workers: processes that make pictures. clock: parts are charged there.
    around: what a step runs in, for who counts its operations.
    """

    state: CellState
    teacher: StagedModel | None
    train: Pictures
    test: Pictures
    batch_size: int
    device: torch.device
    workers: int
    clock: Clock
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    loss: Meter = field(default_factory=Meter)
    top1: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        # Pictures come normalised: networks are not to do it again.
        for network in (self.state.student, *([] if self.teacher is None else [self.teacher])):
            plain = replace(network.prepare.preprocessing, mean=(0.0,), std=(1.0,))
            network.prepare = Prepare(plain, network.image_shape, self.device)

    def epoch(self, order: Sequence[int] | None = None) -> float:
        """One epoch, then evaluation; returns the mean loss. order: positions of samples; None: shuffled."""
        self.loss, self.top1 = Meter(), Meter()
        self.state.student.train()
        self.state.method.train()
        self.state.players.set_rates(Place(0, 1, 0, 1))
        loader = DataLoader(self.train, self.batch_size, shuffle=order is None, sampler=order, num_workers=self.workers)
        batches = iter(loader)
        for number in range(len(loader)):
            with self.clock.charge(VIEWS):
                images, targets, positions = next(batches)
            with self.around():
                images, targets, positions = (each.to(self.device) for each in (images, targets, positions))
                self._step(images, targets, positions, self._info(number / len(loader)))
        del batches  # its workers end, and what they computed counts
        with self.clock.charge(EVALUATION):
            self._evaluate()
        return self.loss.mean

    def _step(self, images: Tensor, targets: Tensor, positions: Tensor, info: StepInfo) -> None:
        method, reads = self.state.method, self.state.method.reads
        teacher: Any = None  # as a method is given it that reads none
        if self.teacher is not None:
            with self.clock.charge(TEACHER), torch.no_grad():
                wanted = reads.of_teachers
                teacher = self.teacher.run(images, wanted.taps, wanted.modules)
        with self.clock.charge(STUDENT):
            student = self.state.student.run(images, reads.taps, reads.modules)
        batch = Batch(images, targets, info, (images,), positions if reads.indices else None)
        with self.clock.charge(LOSS):
            loss = torch.stack(list(method.losses(batch, student, teacher).values())).sum()
        optimizers = self.state.players.optimizers.values()
        with self.clock.charge(BACKWARD):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
        with self.clock.charge(OPTIMIZER):
            for optimizer in optimizers:
                optimizer.step()
        with torch.no_grad():
            method.after_step(batch, student, teacher)
        self.loss.add(loss.item(), len(targets))
        self.top1.add(_percent(student.logits, targets), len(targets))

    def _info(self, progress: float) -> StepInfo:
        epoch, done = torch.tensor(0, device=self.device), torch.tensor(progress, device=self.device)
        return StepInfo(self.state.clock.phase.name, epoch, 1, done, self.state.players.rates)

    def _evaluate(self) -> None:
        self.state.student.eval()
        top1, loss = Meter(), Meter()
        with torch.no_grad():
            for images, targets, _ in DataLoader(self.test, self.batch_size, num_workers=self.workers):
                logits = self.state.student(images.to(self.device))
                targets = targets.to(self.device)
                loss.add(F.cross_entropy(logits, targets).item(), len(targets))
                top1.add(_percent(logits, targets), len(targets))


def _percent(logits: Tensor, targets: Tensor) -> float:
    return float((logits.argmax(1) == targets).float().mean().item()) * 100
