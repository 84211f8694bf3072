"""The bench: a case as the engine builds and steps it, on any device, with a batch that is the same in every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from kdharness.api import EpochContext, Phase
from kdharness.api.labels import Mixing
from kdharness.api.prepared import share
from kdharness.data.batches import Samples
from kdharness.data.mixing import larger_labels, mixed_images, soft_labels
from kdharness.data.views import ViewKey
from kdharness.device.device import Device
from kdharness.device.ledger import Ledger
from kdharness.engine.builder import build
from kdharness.engine.lockstep import SharedBatch
from kdharness.engine.member import Member
from kdharness.engine.world import World
from kdharness.planning.cell import Cell
from kdharness.protocol.seeds import stream
from kdharness.registry.manager import Registry
from kdharness.results.store import ResultsFolder

SAMPLES = 6


class Subject(Protocol):
    """What a bench asks of a case."""

    @property
    def registry(self) -> Registry: ...
    @property
    def cell(self) -> Cell: ...


class Bench:
    """A case's first cell, all of its networks as initialised.

    seed: of the cell; teachers do not depend on it. mixed: whether the batch's images are.
    member: the cell as its group has it. teachers: its networks.
    returned: what `losses` returned last, whatever it is.
    """

    def __init__(
        self, case: Subject, device: Device, seed: int = 0, mixed: bool = False, world: World | None = None
    ) -> None:
        cell = replace(case.cell, start=None, seed=seed)
        world = World(case.registry, ResultsFolder(Path()), Path(), device) if world is None else world
        data = world.data.of(cell)
        teachers = world.teachers.untrained(cell, data)
        self.teachers = [teacher.model for teacher in teachers]
        self.member = Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))
        self.method = self.member.method
        self.classes = data.num_classes
        self.returned: Any = None
        self._listen()
        self.mixing = _mixing(device.torch) if mixed else None
        self.samples = self.made_anew()

    def _listen(self) -> None:
        """Notes what `losses` returns, and leaves out `select`: once an epoch, a method may wait for the device."""
        losses = self.method.losses

        def noted(*given: Any) -> Any:
            self.returned = losses(*given)
            return self.returned

        def everything(epoch: EpochContext) -> None:
            return None

        # Of this instance, in place of its class's.
        vars(self.method).update(losses=noted, select=everything)

    def made_anew(self, flipped: bool = False) -> Samples:
        """The batch, of which no network has prepared anything yet. flipped: its images in the order from the last."""
        device, mixing = self.member.device.torch, self.mixing
        shape = (SAMPLES, *self.member.data.input_shape)

        def make(key: ViewKey, partners: bool) -> Tensor:
            generator = torch.Generator().manual_seed(stream(key.name, key.occurrence, int(partners)))
            drawn = torch.rand(shape, generator=generator).to(device)
            images = drawn if mixing is None else mixed_images(drawn, mixing)
            return share(images.flip(0) if flipped else images)

        indices = torch.arange(SAMPLES).to(device)
        targets, ledger = indices % self.classes, Ledger(self.member.device.clock())
        if mixing is None:
            return Samples(targets, indices, make, ledger)
        soft = soft_labels(targets, mixing, self.classes)
        return Samples(larger_labels(targets, mixing), indices, make, ledger, mixing, soft)

    @property
    def images(self) -> Tensor:
        return self.samples.view(ViewKey("images"))

    @property
    def loss_terms(self) -> Mapping[str, Tensor]:
        """The terms that `losses` returned last and that the cell sums."""
        without = self.member.cell.document["method"]["without"]
        return {name: term for name, term in self.returned.items() if name not in without}

    def phases(self) -> Iterator[Phase]:
        """Enters the phases in turn, one of each name."""
        clock, seen = self.member.clock, set()
        while not clock.finished:
            if clock.phase.name not in seen:
                seen.add(clock.phase.name)
                self.member.request()
                yield clock.phase
            clock.number += 1
            self.member.state.enter_phase()

    def step(self, within: AbstractContextManager[object] | None = None, number: int = 1, of: int = 2) -> None:
        """One step of the phase that was entered last. within: what the step itself runs in. number, of: its place."""
        shared = SharedBatch(self.samples, [self.member], ("bench",))
        info = self.member.info(self.member.clock.place(number, of), shared.numbers)
        seen = shared.seen_by(self.member, info)
        with nullcontext() if within is None else within:
            self.member.step(seen.samples, seen, info, measure=False)

    def steps(self) -> Iterator[Phase]:
        """Enters the phases in turn, and makes one step in each."""
        for phase in self.phases():
            self.step()
            yield phase


def _mixing(device: torch.device) -> Mixing:
    """Each image gives three tenths to the one after it."""
    permutation = torch.arange(SAMPLES).roll(1)
    return Mixing("mixup", torch.tensor(0.7).to(device), permutation.to(device), torch.zeros(4).to(device))
