"""Whether a method can serve a pair on a dataset: found on the meta device, without data or storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch

from kdharness.api.data import DatasetInfo
from kdharness.api.declarations import ModelSpec
from kdharness.api.ensemble import ensemble_of
from kdharness.api.functional import eval_mode
from kdharness.api.method import BuildContext, Method
from kdharness.api.preprocessing import Preprocessing
from kdharness.api.shapes import ModelShape, know_shape, shape_of
from kdharness.api.staged import StagedModel
from kdharness.errors import UnknownName
from kdharness.failures import Failure, attempt, one_line
from kdharness.planning.cell import Cell, canonical
from kdharness.planning.declared import fault_of_model
from kdharness.planning.mixed_labels import reason_to_refuse
from kdharness.planning.networks import configured
from kdharness.planning.phases import phase_faults
from kdharness.planning.resolve import Resolved
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.subset_sizes import subset_sizes


@dataclass(frozen=True)
class Blueprint:
    """What is known of a cell's data and training when a plan is made.

    subset_sizes: exactly those that training will find, though without labels nobody knows which images they are.
    """

    num_classes: int
    input_shape: tuple[int, int, int]
    subset_sizes: dict[str, int]
    epochs: int
    batch_size: int


def trial_model(spec: ModelSpec, blueprint: Blueprint, device: str = "meta") -> StagedModel:
    """The network without storage, or on the CPU with random weights. Whatever its factory raises passes through."""
    # The dataset's mean and std, which are not known yet, change no shape.
    preprocessing = spec.preprocessing or Preprocessing()
    with torch.random.fork_rng(devices=[]), torch.device(device):
        network = spec.factory(blueprint.num_classes, preprocessing.input_shape(blueprint.input_shape))
    return StagedModel(network, spec, blueprint.input_shape, preprocessing)


def reason_to_skip(
    method: Method,
    student: StagedModel,
    teachers: Sequence[StagedModel],
    blueprint: Blueprint,
    others: Sequence[StagedModel] = (),
) -> str | None:
    """Why the method cannot serve these models, or None; found on the meta device, without data.

    others: of the models that the method makes further networks of.
    """
    reads = method.reads
    if reads.teachers != "none" and not teachers:
        return "needs a teacher, and the pair has none"
    if lacking := student.cannot_give(reads.of_student, "student"):
        return lacking
    for teacher in teachers:
        if lacking := teacher.cannot_give(reads.of_teachers, "teacher"):
            return lacking
    by_name = {m.spec.name: m.spec for m in (student, *teachers, *others)}
    if reads.teachers == "one" and len(teachers) > 1:
        read = reads.of_teachers
        if parts := (*read.taps, *(f"module '{path}'" for path in read.modules)):
            return f"reads {parts[0]} of one teacher, and an ensemble of {len(teachers)} has none"
        teachers = [ensemble_of(teachers)]
    with torch.device("meta"):
        context = BuildContext(
            num_classes=blueprint.num_classes,
            input_shape=blueprint.input_shape,
            student=shape_of(student, reads.modules),
            teachers=tuple(shape_of(t, reads.teacher_modules) for t in teachers),
            student_model=student,
            teacher_models=tuple(teachers),
            targets=torch.zeros(0, dtype=torch.int64),
            subset_sizes=blueprint.subset_sizes,
            epochs=blueprint.epochs,
            batch_size=blueprint.batch_size,
            device=torch.device("meta"),
            make_generator=lambda name, on_device: torch.Generator().manual_seed(0),
            new_model=lambda name, role: trial_model(by_name[name], blueprint),
            make_secret_generator=lambda on_device: torch.Generator().manual_seed(0),
        )
        return method.skip(context)


def unlike_outputs(model: StagedModel, num_classes: int) -> str:
    """What is wrong with a network whose logits are not those of the dataset's classes, or that returns other outputs
    in train mode than in eval mode; '' for nothing.
    """
    spec = model.spec
    blank = torch.zeros((2, *model.image_shape), device=next((p.device for p in model.parameters()), None))
    names = []
    with torch.no_grad(), eval_mode(model):
        for training in (False, True):
            for module in model.network.modules():
                # What a forward returns is decided where modules are called; those that call none stay as they are.
                module.training = training and any(module.children())
            outputs = model.run(blank)
            if outputs.logits.shape != (2, num_classes):
                return _other_classes(spec.name, outputs.logits.shape, num_classes)
            names.append({spec.logits, *outputs.named} - set(spec.auxiliary if training else ()))
    if names[0] == names[1]:
        return ""
    eval_names, train_names = (", ".join(sorted(each)) for each in names)
    what = f"returns other outputs in train mode ({train_names}) than in eval mode ({eval_names})"
    return f"model '{spec.name}' {what}: its spec may name those of train mode alone as auxiliary"


def _other_classes(model: str, shape: Sequence[int], num_classes: int) -> str:
    if len(shape) == 2:
        return f"model '{model}' returns {shape[1]} logits, the dataset has {num_classes} classes"
    return f"model '{model}' returns logits of shape {list(shape)} for 2 images, and not [2, {num_classes}]"


def on_meta_device(resolved: Resolved) -> Callable[[Cell, Method], str | None]:
    """The question whether a cell's method can serve its models, answered by their networks."""
    infos = {name: dataset.info for name, dataset in resolved.datasets.items()}

    def spec_of(name: str) -> ModelSpec:
        return configured(resolved.models.get(name).spec, resolved.networks.document(name))

    return _MetaDevice(spec_of, infos).reason


class _MetaDevice:
    """Answers are remembered: seeds and many methods share them."""

    def __init__(self, spec_of: Callable[[str], ModelSpec], infos: Mapping[str, DatasetInfo]) -> None:
        self.spec_of = spec_of
        self.infos = infos
        self._reasons: dict[str, str | None] = {}
        self._networks: dict[str, StagedModel | str] = {}

    def reason(self, cell: Cell, method: Method) -> str | None:
        """Why the cell cannot be trained, or None."""
        refusal = reason_to_refuse(method, Recipe.model_validate(dict(cell.recipe)))
        if refusal is not None:
            return refusal
        info = self.infos[cell.dataset]
        models = [cell.student, *(t.model for t in cell.teachers), *cell.networks]
        blueprint = blueprint_of(cell, info)
        facts = {**asdict(blueprint), "data": info.identity}
        key = canonical({"method": cell.method, "parameters": dict(cell.parameters), "models": models, **facts})
        if key not in self._reasons:
            self._reasons[key] = self._find(cell, method, blueprint)
        return self._reasons[key]

    def _find(self, cell: Cell, method: Method, blueprint: Blueprint) -> str | None:
        networks: list[StagedModel] = []
        for name in (cell.student, *(t.model for t in cell.teachers), *cell.networks):
            network = self._network(name, blueprint)
            if isinstance(network, str):
                return network
            networks.append(network)
        teachers, others = networks[1 : len(cell.teachers) + 1], networks[len(cell.teachers) + 1 :]
        recipe = Recipe.model_validate(dict(cell.recipe))
        for ask in (
            lambda: reason_to_skip(method, networks[0], teachers, blueprint, others),
            lambda: _fault_of_phases(method, networks[0], recipe, tuple(blueprint.subset_sizes)),
        ):
            # What a plugin raises here, it raises again where a record keeps the traceback.
            if (found := attempt(ask)) is not None and not isinstance(found, Failure):
                return found
        return None

    def _network(self, name: str, blueprint: Blueprint) -> StagedModel | str:
        """The network on the meta device, or why it cannot be made for this data."""
        key = f"{name} {blueprint.num_classes} {blueprint.input_shape}"
        if key not in self._networks:
            self._networks[key] = _built(self.spec_of(name), blueprint)
        return self._networks[key]


def _fault_of_phases(method: Method, student: StagedModel, recipe: Recipe, subsets: Sequence[str]) -> str | None:
    """What is wrong with the method's phases, or None. Raises what `phases` raises, which may rest on `build`."""
    for phase in method.phases():
        if phase.subset not in subsets:
            unknown = UnknownName("subset", phase.subset, subsets, f"phase '{phase.name}'")
            return f"method '{method.name}': {unknown}"
        for fault in phase_faults(phase, student.network):
            return f"method '{method.name}': {fault}"
        if refusal := reason_to_refuse(method, recipe.replaced(phase.recipe), f"phase '{phase.name}'"):
            return refusal
    return None


def blueprint_of(cell: Cell, info: DatasetInfo) -> Blueprint:
    """The cell's own facts: its scenario's, its recipe's."""
    document, recipe = cell.document, cell.recipe
    sizes = subset_sizes(document["scenario"], info.train_size, document["evaluation"]["validation"])
    return Blueprint(info.num_classes, info.input_shape, sizes, recipe["epochs"], recipe["batch_size"])


class _Tried:
    """The shapes of networks that were tried and found well, by spec and data: plans of one process need no second
    trial. The networks themselves are made anew, for methods are handed them.
    """

    MOST = 256

    def __init__(self) -> None:
        # Specs are known by identity, and kept, so that no other one comes to stand at the same place.
        self._found: dict[tuple[int, int, tuple[int, ...], str], tuple[ModelSpec, ModelShape]] = {}

    def network(self, spec: ModelSpec, blueprint: Blueprint, device: str) -> StagedModel | str:
        """The network, or what is wrong with what it returns. Whatever its factory or forward raises passes through."""
        model = trial_model(spec, blueprint, device)
        key = (id(spec), blueprint.num_classes, tuple(blueprint.input_shape), device)
        if key in self._found:
            know_shape(model, self._found[key][1])
            return model
        shape = shape_of(model)
        if fault := unlike_outputs(model, blueprint.num_classes):
            return fault
        while len(self._found) >= self.MOST:
            del self._found[next(iter(self._found))]
        self._found[key] = (spec, shape)
        return model


_tried = _Tried()


def _built(spec: ModelSpec, blueprint: Blueprint) -> StagedModel | str:
    if reason := fault_of_model(spec):
        return reason
    # Some factories look at numbers, which the meta device has not; then the CPU, though slower, decides.
    for device in ("meta", "cpu"):
        found = attempt(partial(_tried.network, spec, blueprint, device))
        if not isinstance(found, Failure):
            return found
        reason = one_line(found.exception, most=200)
    shape = "x".join(map(str, blueprint.input_shape))
    return f"model '{spec.name}' cannot take {shape} images: {reason}"
