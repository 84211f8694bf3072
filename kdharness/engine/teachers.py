"""A cell's teachers: loaded and checked once per worker, and watched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from kdharness.api.ensemble import ensemble_of
from kdharness.api.staged import StagedModel
from kdharness.data.prepare import Data
from kdharness.data.watched import form_of, same_bits
from kdharness.device.checksum import Balance, Standing
from kdharness.device.device import Device
from kdharness.device.structure import Structure
from kdharness.engine.networks import NetworkFactory
from kdharness.errors import CellError, UserError
from kdharness.measure.evaluate import top1
from kdharness.measure.predict import predict
from kdharness.measure.stored import as_stored
from kdharness.planning.cell import Cell, TeacherSource, canonical
from kdharness.protocol.recipe import Recipe
from kdharness.results.bound import LOST, weights_fault
from kdharness.results.store import ResultsFolder
from kdharness.weights.choice import marked
from kdharness.weights.digests import sha256_of
from kdharness.weights.fitting import fill
from kdharness.weights.reading import load_weights

# Of a cell whose source has lost its weights, or has others than its record says. The cell is to run again after it.
WEIGHTS_CHANGED = "WeightsChanged"

# Of what lies between chance and all, what a teacher from a file must know.
LEAST_SHARE = 0.1

# Points between what a file reaches and what is said of it.
CLAIMED_WITHIN = 0.3


def least_top1(num_classes: int) -> float:
    """The accuracy in percent that a teacher from a file must reach, unless the benchmark says another."""
    chance = 100.0 / num_classes
    return chance + LEAST_SHARE * (100.0 - chance)


class Teacher:
    """A frozen network in eval mode.

    digest: SHA-256 of its file, "" of one that comes from none. data, device: what it is asked about, and where.
    source: the identity of what it comes from. facts: all that decides what it makes of an image, as canonical JSON;
    "": nothing that it says may be kept.
    """

    def __init__(
        self,
        model: StagedModel,
        digest: str,
        data: Data,
        device: Device,
        source: str = "",
        facts: str = "",
    ) -> None:
        self.source = source
        self.facts = facts
        self.model = model.eval().requires_grad_(False)
        self.digest = digest
        self._data = data
        self._device = device
        self._logits: dict[str, Tensor] = {}
        self._pristine = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        # With those that no state holds, such as the constants of its preprocessing.
        self._buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
        self._note()

    def logits_on(self, split: str) -> Tensor:
        """The logits [N, classes] on a split, as stored, on the CPU; computed when they are first asked for."""
        if split not in self._logits:
            images, rows, _ = self._data.split(split)
            logits = predict(self.model, images, rows, self._device)["logits"]
            self._logits[split] = as_stored(logits.cpu())
        return self._logits[split]

    def _note(self) -> None:
        """Remembers what the network consists of: walking it anew takes longer than many a step."""
        self._tensors = [*self.model.parameters(), *self.model.buffers()]
        self._modules = list(self.model.modules())
        self._structure = Structure(self.model)
        self._stamp = self._stamped()
        self._versions = [t._version for t in self._tensors]
        self._forms = [form_of(t) for t in self._tensors]
        self._bits = Standing(self._tensors)
        self._sums = self._bits.checksum()

    def _stamped(self) -> tuple[int, int]:
        """Changes whenever a weight, a buffer or a mode does."""
        return sum([t._version for t in self._tensors]), sum([m.training for m in self._modules])

    @property
    def touched(self) -> bool:
        """Whether somebody changed a weight, a buffer or a mode."""
        return self._stamped() != self._stamp

    def changed_part(self) -> str:
        """What somebody changed of it in the open, as far as versions and modes tell."""
        names = [name for name, _ in (*self.model.named_parameters(), *self.model.named_buffers())]
        for name, tensor, version in zip(names, self._tensors, self._versions, strict=False):
            if tensor._version != version:
                return name
        return "its mode" if self.touched else self._structure.changed

    def unlike_loaded(self) -> str:
        """The name of a weight, a buffer or a module's attribute that is not what it was loaded as, '' where there is
        none. Slow.
        """
        if self.rebuilt:
            return self._structure.changed
        loaded = {**self._buffers, **self._pristine}
        for name, tensor in (*self.model.named_parameters(), *self.model.named_buffers()):
            if name in loaded and not same_bits(tensor, loaded[name]):
                return name
        return ""

    @property
    def rebuilt(self) -> bool:
        """Whether somebody put other tensors or modules in place, added a hook or changed what a layer says of itself.

        Slow: asked once or twice an epoch.
        """
        return not self._structure.stands

    def settle(self, balance: Balance) -> None:
        """Puts what it was and what it is into the balance: writes that move no version show there."""
        if self.touched or self.rebuilt or [form_of(t) for t in self._tensors] != self._forms:
            balance.fail()
        else:
            balance.compare(self._sums, self._bits.checksum())

    def restore(self) -> None:
        """Back to the weights it was loaded with."""
        self._structure.put_back()
        self.model.load_state_dict(self._pristine)
        for name, buffer in self.model.named_buffers():
            buffer.copy_(self._buffers[name])
        self.model.eval().requires_grad_(False)
        self._note()

    def __deepcopy__(self, memo: dict[int, object]) -> Teacher:
        """A copy of its own for a method that changes its teacher."""
        from copy import deepcopy

        return Teacher(deepcopy(self.model, memo), self.digest, self._data, self._device)


class Ensemble:
    """Several teachers as one, for a method that reads one. They stay what they are, and are run once for all."""

    def __init__(self, members: Sequence[Teacher]) -> None:
        self.members = tuple(members)
        self.model = ensemble_of([m.model for m in members]).eval()
        self._structure = Structure(self.model)

    @property
    def touched(self) -> bool:
        return self.model.training or any(m.touched for m in self.members)

    def changed_part(self) -> str:
        """As a teacher's."""
        touched = [m for m in self.members if m.touched]
        if touched:
            return touched[0].changed_part()
        return "its mode" if self.model.training else self._structure.changed

    def unlike_loaded(self) -> str:
        """As a teacher's."""
        return self._structure.changed

    @property
    def rebuilt(self) -> bool:
        """As a teacher's; of the members too."""
        return not self._structure.stands

    def settle(self, balance: Balance) -> None:
        """As a teacher's, but without the members' numbers."""
        if self.touched or self.rebuilt:
            balance.fail()

    def restore(self) -> None:
        self._structure.put_back()
        self.model.eval()
        for member in self.members:
            member.restore()


# What a method reads as one teacher.
AnyTeacher = Teacher | Ensemble

CHANGED = "it changed its teacher, which others share (if it must, it sets private_teacher)"


def each_alone(teachers: Iterable[AnyTeacher]) -> list[AnyTeacher]:
    """The teachers, and those that an ensemble is of beside it."""
    found: list[AnyTeacher] = []
    for teacher in teachers:
        found += [teacher, *(teacher.members if isinstance(teacher, Ensemble) else ())]
    return found


def put_right(teachers: Sequence[AnyTeacher], thorough: bool) -> str:
    """What of one of them was changed, '' for nothing. They are again what they were.

    thorough: whether also to look for tensors that were exchanged, which takes time.
    """
    changed = [t for t in each_alone(teachers) if t.touched or (thorough and t.rebuilt)]
    parts = [teacher.changed_part() for teacher in changed]
    for teacher in changed:
        teacher.restore()
    return parts[0] if parts else ""


def check_teachers(teachers: Sequence[AnyTeacher]) -> None:
    """CellError when one of them was changed. They are again what they were."""
    if part := put_right(teachers, thorough=True):
        raise CellError("SharedStateChanged", f"{CHANGED}: {part}")


class TeacherStore:
    """A worker's teachers.

    floor: percent on the test split that a teacher from a file must reach; None for `least_top1`.
    claims: by "dataset/model", percent that a file is said to reach.
    """

    def __init__(
        self,
        networks: NetworkFactory,
        folder: ResultsFolder,
        device: Device,
        floor: float | None,
        claims: Mapping[str, float] | None = None,
    ) -> None:
        self.networks = networks
        self.folder = folder
        self.device = device
        self.floor = floor
        self.claims = claims or {}
        self._teachers: dict[tuple[str, str, str, str, str, bool], Teacher] = {}
        self._ensembles: dict[tuple[int, ...], Ensemble] = {}

    def of(self, cell: Cell, data: Data) -> list[Teacher]:
        """What the cell is taught by, in its order, each loaded and checked once."""
        return self._each(cell.teachers, cell, data)

    def references(self, cell: Cell, data: Data) -> list[Teacher]:
        """The teachers that the cell's student is measured against; those that it is taught by are the same objects."""
        return self._each(cell.reference_teachers, cell, data)

    def _each(self, sources: Sequence[TeacherSource], cell: Cell, data: Data) -> list[Teacher]:
        recipe = Recipe.model_validate(dict(cell.recipe))
        return [self._teacher(source, data, recipe, cell) for source in sources]

    def untrained(self, cell: Cell, data: Data) -> list[Teacher]:
        """Networks of the cell's teachers as they are initialised, for trials that need no trained ones."""
        recipe = Recipe.model_validate(dict(cell.recipe))
        networks = [self.networks.make(source.network, data, "teacher", 0, recipe) for source in cell.teachers]
        return [Teacher(network, "", data, self.device) for network in networks]

    def keep(self, cells: Sequence[Cell], data: Collection[str]) -> None:
        """Lets go of those that none of these cells needs, and of those of other data than these keys name."""
        sources = [source for cell in cells for source in (*cell.sources, *cell.reference_teachers)]
        paths = {str(self._path(source)) for source in sources}
        self._teachers = {key: t for key, t in self._teachers.items() if key[0] in paths and key[3] in data}
        kept = {id(teacher) for teacher in self._teachers.values()}
        self._ensembles = {key: ensemble for key, ensemble in self._ensembles.items() if kept.issuperset(key)}

    def forget(self) -> None:
        """Has all of them loaded anew when they are next asked for."""
        self._teachers.clear()
        self._ensembles.clear()

    def found(self, source: TeacherSource) -> tuple[Path, str]:
        """The file with a source's weights, and its SHA-256.

        UserError for a file that is not the one that was planned with; CellError for weights of a cell that are lost or
        are not those of its record.
        """
        path = self._path(source)
        if source.sha256:
            digest = sha256_of(path) if path.exists() else ""
            if digest != source.sha256:
                what = f"teacher file {path} is not the one that was planned with"
                raise UserError(f"{what}: its sha256 is {digest or 'unknown'}")
            return path, digest
        files, record = self.folder.cell(source.cell), self.folder.read_record(source.cell)
        fault = LOST if record is None else weights_fault(files, record)
        if fault:
            what = f"the weights of {source.model} (cell {source.cell}) are {fault}"
            raise CellError(WEIGHTS_CHANGED, f"{what}; the same command trains it again")
        return path, sha256_of(path)

    def _path(self, source: TeacherSource) -> Path:
        return Path(source.path) if source.sha256 else self.folder.cell(source.cell).model

    def digests(self, cell: Cell) -> dict[str, str]:
        """By key of a cell that this one requires, the SHA-256 of its weights."""
        sources = (*cell.sources, *cell.reference_teachers)
        return {source.cell: self.found(source)[1] for source in sources if source.cell}

    def ensemble(self, teachers: Sequence[Teacher]) -> Ensemble:
        """The teachers as one; the same one for all cells that have them, so that a batch is averaged once."""
        key = tuple(id(t) for t in teachers)
        if key not in self._ensembles:
            self._ensembles[key] = Ensemble(teachers)
        return self._ensembles[key]

    def _teacher(self, source: TeacherSource, data: Data, recipe: Recipe, cell: Cell) -> Teacher:
        path, digest = self.found(source)
        # Precision and layout change what a teacher gives, and cells that differ in them may share a worker.
        key = (
            str(path),
            marked(digest, source.chosen),
            canonical(source.network),
            data.key,
            recipe.precision,
            recipe.channels_last,
        )
        if key not in self._teachers:
            model = self.networks.make(source.network, data, "teacher", 0, recipe)
            fill(model, load_weights(path, chosen=source.chosen))
            facts = "" if cell.has_private_images else self._facts(source, digest, model, recipe, cell)
            teacher = Teacher(model, digest, data, self.device, source.identity, facts)
            if source.sha256:
                self._check(teacher, data, path, self.claims.get(f"{cell.dataset}/{source.model}"))
            self._teachers[key] = teacher
        return self._teachers[key]

    def _facts(self, source: TeacherSource, digest: str, model: StagedModel, recipe: Recipe, cell: Cell) -> str:
        """All that decides what a teacher makes of an image of the cell's dataset."""
        return canonical(
            {
                "weights": marked(digest, source.chosen),
                "network": dict(source.network),
                "preprocessing": asdict(model.prepare.preprocessing),
                "images": dict(cell.document["dataset"]),
                "channels_last": recipe.channels_last,
                "fingerprint": self.device.fingerprint(recipe.precision),
            }
        )

    def _check(self, teacher: Teacher, data: Data, path: Path, claim: float | None) -> None:
        """UserError for a file's teacher that knows too little, or other things than are said of it."""
        reached = top1(teacher.logits_on("test"), data.test_targets)
        least = least_top1(data.num_classes) if self.floor is None else self.floor
        if reached < least:
            what = f"teacher file {path} reaches {reached:.2f} % on the test split, less than the {least:.2f} % asked"
            usual = " (chance and a tenth of the rest)" if self.floor is None else ""
            raise UserError(f"{what}{usual}; teacher_top1_floor in the benchmark's file changes it")
        if claim is not None and abs(reached - claim) > CLAIMED_WITHIN + 1e-9:
            what = f"teacher file {path} reaches {reached:.2f} % on the test split, and not the {claim:.2f} % that are"
            raise UserError(f"{what} said of it (within {CLAIMED_WITHIN} points; --teacher-top1)")
