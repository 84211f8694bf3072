"""What each method's own part of a step costs: its losses and own modules, forward and backward, without the networks.

    python benchmarks/speed/losses.py [--pair resnet8x4:resnet8x4] [--methods rkd,crd] [--rounds 5] [--images 512]

CPU seconds of `losses`, the backward pass to what the networks gave, and `after_step`, beside a bare step of the
student (vanilla: forward, backward, optimiser), the two in turn. Networks that a method runs itself count as its own.
The teacher runs once, before; resnet8x4 has the stages of resnet32x4, and is sooner done. A method with an update of
its own makes more of its step than this, and is marked by *.
--images: how many the training split has, which is the size of CRD's banks.
"""

from __future__ import annotations

import argparse
import copy
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from overhead import member_of
from torch import Tensor

from kdharness.api import Batch, Outputs
from kdharness.data.batches import EpochBatches
from kdharness.device.ledger import Ledger
from kdharness.engine.lockstep import SharedBatch
from kdharness.engine.member import Member
from kdharness.engine.stepper import updates_plainly
from kdharness.engine.teacher_batch import TeacherOutputs
from kdharness.errors import CellError, UserError
from kdharness.registry.manager import Registry

# What a benchmark names for a pair; noise that can be repeated.
NAMED = {"takd": {"assistant": "resnet8x4"}, "pate": {"noise": 0}, "dp_sgd": {"noise": 0}}


@dataclass(frozen=True)
class Cost:
    """Milliseconds of a method's own part of a step, by round, and of a bare step beside it."""

    label: str
    own: Sequence[float]
    bare: float

    @property
    def ratio(self) -> float:
        return statistics.median(self.own) / self.bare

    @property
    def line(self) -> str:
        milliseconds = sorted(self.own)
        spread = f"{milliseconds[0]:.2f} to {milliseconds[-1]:.2f}"
        return f"{self.label:24s} {statistics.median(milliseconds):10.2f} {spread:>20s} {self.ratio:9.4f}"


class Part:
    """A member's own part of a step, ready to be run again and again on outputs that are there."""

    def __init__(self, member: Member) -> None:
        self.member = member
        views = member.registry.views
        ledger = Ledger(member.device.clock())
        batches = EpochBatches(member.request(), member.data, lambda name: views[name].spec, member.device, ledger)
        self.shared = SharedBatch(batches.samples(0), [member], (*batches.axes, 0))
        self.info = member.info(member.clock.place(0, len(batches)), self.shared.numbers)
        seen = self.shared.seen_by(member, self.info)
        self.samples = seen.samples
        self.teachers = TeacherOutputs(member.teachers, seen, member.views, member.reads.of_teachers)
        for teacher in self.teachers:
            _ = [
                view.logits for view, (declared, _) in zip(teacher.views, member.views, strict=True) if declared.teacher
            ]

    def step(self) -> None:
        """A whole one."""
        with self.member.isolated():
            self.member.stepper.step(self.samples, self.teachers, self.info)

    def own(self, rounds: int) -> list[float]:
        """Milliseconds of the method's own part, so often on what the student gave once."""
        method, found = self.member.method, []
        real = method.losses

        def losses(batch: Batch, student: Outputs, teacher: object) -> Mapping[str, Tensor]:
            for _ in range(rounds):
                found.append(_own_milliseconds(self.member, real, batch, leaves(student), teacher))
            raise _Measured

        vars(method)["losses"] = losses
        try:
            self.step()
        except _Measured:
            pass
        finally:
            del vars(method)["losses"]
        return found


class _Measured(Exception):
    """Ends a step when its losses are known."""


def _own_milliseconds(
    member: Member, losses: Callable[..., Mapping[str, Tensor]], batch: Batch, student: Outputs, teacher: object
) -> float:
    start = time.process_time()
    terms = losses(batch, student, teacher)
    total = torch.stack([term.float() for term in terms.values()]).sum() if terms else torch.zeros(())
    if total.requires_grad:
        total.backward()
    if updates_plainly(member.method):
        with torch.no_grad():
            member.method.after_step(batch, student, teacher)
    return (time.process_time() - start) * 1e3


def leaves(outputs: Outputs) -> Outputs:
    """The same numbers, where a backward pass ends."""
    own = copy.copy(outputs)
    own.logits = _leaf(outputs.logits)
    own.named = type(outputs.named)({name: _leaf(value) for name, value in outputs.named.items()}, "no output")
    own._taps = {
        name: _leaf(value) if isinstance(value, Tensor) else [_leaf(one) for one in value]
        for name, value in outputs._taps.items()
    }
    own._modules = {path: _leaf(value) for path, value in outputs._modules.items()}
    return own.beside([functools.partial(leaves, entry()) if callable(entry) else entry for entry in outputs._views])


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.is_floating_point())


def phases(member: Member) -> Iterator[str]:
    """Enters the phases in turn; gives each one's name."""
    seen: set[str] = set()
    clock = member.clock
    while not clock.finished:
        if clock.phase.name not in seen:
            seen.add(clock.phase.name)
            yield clock.phase.name
        clock.number += 1
        member.state.enter_phase()


def costs_of(pair: str, method: str, images: int, rounds: int, bare: Callable[[], float]) -> Iterator[Cost]:
    """Of each phase of a method."""
    with tempfile.TemporaryDirectory() as folder:
        member = member_of(pair, method, Path(folder), NAMED.get(method, {}), images)
        vars(member.method)["select"] = lambda epoch: None  # once an epoch, and no part of a step
        for phase in phases(member):
            part = Part(member)
            part.step()  # the first one fills what lasts
            several = "" if phase == "train" else f" {phase}"
            star = "" if updates_plainly(member.method) else "*"
            yield Cost(f"{method}{star}{several}", part.own(rounds), bare())


@contextmanager
def bare_step(pair: str, images: int) -> Iterator[Callable[[], float]]:
    """Gives what measures one step of the student on labels alone, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        part = Part(member_of(pair, "vanilla", Path(folder), images=images))
        part.step()

        def measured() -> float:
            start = time.process_time()
            part.step()
            return (time.process_time() - start) * 1e3

        yield measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="resnet8x4:resnet8x4")
    parser.add_argument("--methods", default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    methods = sorted(Registry.load().methods) if given.methods == "all" else given.methods.split(",")
    found, left_out = [], {}
    with bare_step(given.pair, given.images) as bare:
        for method in methods:
            try:
                for cost in costs_of(given.pair, method, given.images, given.rounds, bare):
                    print(cost.line, file=sys.stderr, flush=True)
                    found.append(cost)
            except (CellError, UserError) as error:
                left_out[method] = str(error)
    print(f"{'method':24s} {'ms':>10s} {'spread':>20s} {'of a step':>9s}")
    for cost in sorted(found, key=lambda cost: -cost.ratio):
        print(cost.line)
    for method, reason in left_out.items():
        print(f"{method}: {reason}")


if __name__ == "__main__":
    main()
