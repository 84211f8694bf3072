"""The bench: a case's networks and method on any device, one step at a time, without data and without a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, EpochContext, Method, Outputs, Phase, StagedModel, Step, StepInfo
from kdharness.api.data import DataRequest, DatasetInfo
from kdharness.api.ensemble import ensemble_of
from kdharness.api.shapes import shape_of
from kdharness.engine.players import Players
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.protocol.variant import made
from kdharness.testing.case import MethodCase

SAMPLES = 6
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Forward:
    """One batch with what the networks and the method made of it. losses: dropped terms are left out."""

    batch: Batch
    student: Outputs
    teacher: Any
    returned: Mapping[str, Tensor]
    losses: Mapping[str, Tensor]


class Bench:
    """A case built as a worker builds it: networks and method on the CPU, then moved to the device.

    The batch is the same in every step, and the networks start from the same weights.
    method_seed: of what the method draws when it is built. phases: one of each name.
    """

    def __init__(self, case: MethodCase, device: torch.device, method_seed: int = 0) -> None:
        self.cell = case.cell
        self.registry = case.registry
        self.device = device
        self.recipe = Recipe.model_validate(dict(self.cell.recipe))
        self.info = self._info()
        self.generators: list[torch.Generator] = []
        torch.manual_seed(0)
        self.student = self._network(self.cell.student)
        self.networks = [self._network(t.model).eval().requires_grad_(False) for t in self.cell.teachers]
        self.method: Method = made(case.spec, self.cell.parameters)
        self.teachers = self.networks
        if self.method.reads.teachers == "one" and len(self.networks) > 1:
            self.teachers = [ensemble_of(self.networks).eval()]
        torch.manual_seed(method_seed)
        self.method.build(self._context())
        move(self.method, device)
        self.predictor = self.method.predictor(self.student, self.teachers)
        self.players = Players(self.student, self.method, self.recipe)
        self.phases = list({phase.name: phase for phase in self.method.phases()}.values())
        self._draw(torch.Generator().manual_seed(0))

    def _info(self) -> DatasetInfo:
        spec = self.registry.get("dataset", self.cell.dataset).spec
        info: DatasetInfo = spec.describe(DataRequest(Path(), False, dict(self.cell.dataset_parameters)))
        return info

    def _network(self, name: str) -> StagedModel:
        spec = self.registry.get("model", name).spec
        network = spec.factory(self.info.num_classes, self.info.input_shape)
        return move(StagedModel(network, spec, self.info.input_shape), self.device)

    def _generator(self, name: str) -> torch.Generator:
        self.generators.append(torch.Generator().manual_seed(stream("method", self.cell.method, name, 0)))
        return self.generators[-1]

    def _context(self) -> BuildContext:
        size = self.info.train_size
        return BuildContext(
            num_classes=self.info.num_classes,
            input_shape=self.info.input_shape,
            student=shape_of(self.student),
            teachers=tuple(shape_of(t) for t in self.teachers),
            student_model=self.student,
            teacher_models=tuple(self.teachers),
            targets=(torch.arange(size) % self.info.num_classes).to(self.device),
            subset_sizes={"train": size, "teacher": size},
            epochs=self.recipe.epochs,
            batch_size=self.recipe.batch_size,
            device=self.device,
            make_generator=self._generator,
            new_model=lambda name, role: self._network(name),
        )

    def _draw(self, generator: torch.Generator) -> None:
        """The images of every view and of the partners, the targets, and the positions."""
        shape = (SAMPLES, *self.info.input_shape)
        views = [torch.randn(shape, generator=generator) for _ in (*self.method.reads.views, "partners")]
        *self.views, self.partners = (view.to(self.device) for view in views)
        self.targets = (torch.arange(SAMPLES) % self.info.num_classes).to(self.device)
        self.indices = torch.arange(SAMPLES).to(self.device)

    # -- training -----------------------------------------------------------------------------------------------------

    def enter(self, phase: Phase) -> None:
        """Begins a phase: its optimisers, the modes of its parts, and the method's own hook."""
        self.players.enter(phase)
        self.student.train()
        self.method.train()
        for module in self.players.resting:
            module.eval()
        self.method.before_epoch(self.epoch(phase))

    def epoch(self, phase: Phase) -> EpochContext:
        return EpochContext(
            phase=phase.name,
            epoch=0,
            epochs=1,
            student=self.student,
            targets=self.targets,
            predict=lambda positions=None: self._predict(self.student, positions),
            predict_teacher=lambda k=0, positions=None: self._predict(self.teachers[k], positions),
        )

    def _predict(self, model: nn.Module, positions: Tensor | None) -> Tensor:
        images = self.views[0] if positions is None else self.views[0][positions.to(self.device)]
        mode = model.training
        with torch.no_grad():
            logits: Tensor = model.eval()(images)
        model.train(mode)
        return logits

    def forward(self, phase: Phase) -> Forward:
        """The student, those teachers that the method asks for, and the losses."""
        return self._with_losses(*self._given(phase))

    def _given(self, phase: Phase) -> tuple[Batch, Any]:
        """The batch, and the teacher as `losses` gets it."""
        info = StepInfo(phase.name, 0, 1, torch.full((), 0.5, device=self.device))
        reads = self.method.reads
        views = tuple(self.views)
        batch = Batch(
            images=views[0],
            targets=self.targets,
            step=info,
            views=views,
            indices=self.indices if reads.indices else None,
            partners=self.partners if reads.partners == "same_class" else None,
        )
        teachers = _Taught(self.teachers, views, reads.taps)
        teacher = None if reads.teachers == "none" else teachers[0] if reads.teachers == "one" else teachers
        return batch, teacher

    def losses(self, phase: Phase) -> Any:
        """What the method returns, whatever it is."""
        batch, teacher = self._given(phase)
        return self.method.losses(batch, _run(self.student, batch.views, self.method.reads.taps), teacher)

    def _with_losses(self, batch: Batch, teacher: Any) -> Forward:
        student = _run(self.student, batch.views, self.method.reads.taps)
        returned = self.method.losses(batch, student, teacher)
        without = self.cell.document["method"]["without"]
        losses = {name: term for name, term in returned.items() if name not in without}
        return Forward(batch, student, teacher, returned, losses)

    def update(self, forward: Forward, kind: type[Step] = Step) -> None:
        """What the method makes of the losses. kind: of the step that it is given."""
        tags = {name: self.method.terms.get(name, "task" if name == "ce" else "distill") for name in forward.losses}
        self.method.update(
            kind(
                losses=forward.losses,
                tags=tags,
                optimizers=self.players.optimizers,
                parameters=self.players.parameters,
                recompute=lambda: self._with_losses(forward.batch, forward.teacher).losses,
                info=forward.batch.step,
            )
        )

    def after(self, forward: Forward) -> None:
        with torch.no_grad():
            self.method.after_step(forward.batch, forward.student, forward.teacher)

    def step(self, phase: Phase) -> Forward:
        """One whole step of a phase that was entered."""
        forward = self.forward(phase)
        self.update(forward)
        self.after(forward)
        return forward


class _Taught(Sequence[Outputs]):
    """The teachers' outputs, each computed when it is first asked for."""

    def __init__(self, teachers: Sequence[StagedModel], views: Sequence[Tensor], taps: Sequence[str]) -> None:
        self._teachers = teachers
        self._views = views
        self._taps = taps
        self._found: dict[int, Outputs] = {}

    def __len__(self) -> int:
        return len(self._teachers)

    @overload
    def __getitem__(self, number: int) -> Outputs: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Outputs]: ...
    def __getitem__(self, number: int | slice) -> Outputs | Sequence[Outputs]:
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        if number not in self._found:
            with torch.no_grad():
                self._found[number] = _run(self._teachers[number], self._views, self._taps)
        return self._found[number]


def _run(model: StagedModel, views: Sequence[Tensor], taps: Sequence[str]) -> Outputs:
    outputs = tuple(model.run(view, taps) for view in views)
    outputs[0].views = outputs
    return outputs[0]


def move(module: M, device: torch.device) -> M:
    """The module with all it holds on the device. Unlike `Module.to` it serves fake tensors too."""
    moved: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.device.type != device.type:
                new = nn.Parameter(parameter.detach().to(device), parameter.requires_grad)
                part._parameters[name] = moved.setdefault(id(parameter), new)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device)
    return module
