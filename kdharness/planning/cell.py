"""A cell and its identity.

A cell's key is a hash of one canonical JSON document in which everything that can change its numbers is resolved.
What cannot (device, workers, group, order of arguments, metrics, the release of kdharness) stays out of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from kdharness.api.events import CellInfo
from kdharness.api.requirements import Pair
from kdharness.planning.neutral import completed_part
from kdharness.planning.shapes import UNREAD, is_bounded
from kdharness.protocol.benchmark import STANDARD
from kdharness.protocol.private_parts import PrivatePart
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.weights.choice import marked

# Raised by hand. SCHEMA: when the document's form changes. NUMERICS: when a change of the core changes a cell's
# numbers.
SCHEMA = 2
NUMERICS = 2

# What a cell is in its plan. STEP: a student's training that only another cell asks for. SPREAD: a student under
# another teacher than the run's rule gives it, to see how much of a result is the teacher's. Neither is ever ranked.
STUDENT = "student"
TEACHER = "teacher"
STEP = "step"
SPREAD = "spread"
_ORDER = (STEP, SPREAD, STUDENT)


# What weights were trained on of which nobody says it.
UNKNOWN = "unknown"


def outranks(role: str, other: str) -> bool:
    """Whether a cell that is asked for in both roles has the first of them."""
    return role in _ORDER and other in _ORDER and _ORDER.index(role) > _ORDER.index(other)


def canonical(document: Mapping[str, Any]) -> str:
    """The one text of a document: keys sorted, no spaces, whole floats as integers (4.0 is 4), no NaN."""
    return json.dumps(_plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def digest(document: Mapping[str, Any], length: int = 20) -> str:
    """The first `length` hexadecimal digits of the document's SHA-256."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()[:length]


# From a function and plain data to what it makes of it.
Made = Callable[[Callable[[Any], Any], Any], Any]


def _anew(make: Callable[[Any], Any], data: Any) -> Any:
    return make(data)


def keeps_images_private(document: Mapping[str, Any]) -> bool:
    """Whether a cell's scenario keeps images from students."""
    return bool(document.get("scenario", {}).get("kind") == "split")


def saw_private(document: Mapping[str, Any]) -> bool:
    """Whether a cell was trained on such images."""
    return keeps_images_private(document) and document["subset"] not in ("train", "public")


@dataclass(frozen=True, slots=True)
class TeacherSource:
    """What a network comes from: a cell that trains it, or a file that holds it.

    model: its model's name.
    cell: the key of the cell that trains it; "" for a file.
    sha256: of the file; "" for a cell.
    path: where the file lies, which is no part of identity.
    chosen: the place of the state dict in it that is meant; "" for the likeliest.
    network: all of the model that decides what its networks are; it stands in the documents of cells.
    """

    model: str
    cell: str = ""
    sha256: str = ""
    path: str = ""
    chosen: str = ""
    network: Mapping[str, Any] = field(default_factory=dict, compare=False, metadata=UNREAD)

    @property
    def identity(self) -> str:
        """What enters the keys of cells."""
        return self.cell or marked(self.sha256, self.chosen)


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run, fully resolved: what is asked (`pair`), and what answers it (`sources`, which enter the key).

    key: the digest of `document`.
    benchmark: the benchmark's name.
    protocol: the digest of what makes cells comparable.
    deviations: how the run departs from its benchmark; "" for not at all.
    dataset: the dataset's name.
    dataset_parameters: JSON-valued.
    scenario: the scenario's name.
    role: "student", "teacher", "step" or "spread".
    method: the method's name.
    variant: what differs from the benchmark's own parameters, as text; "" for nothing.
    parameters: the method's, all of them, JSON-valued.
    method_package: the distribution or file that the method comes from.
    method_revision: what its plugin declares, else a version or digest; of an edited built-in both.
    pair: the models that were asked for; its student is what is trained. It has no teachers where the method asks for
        none.
    teachers: what the method is taught by, in its order.
    seed: the cell's.
    regime: what the method uses beside labels and one teacher.
    document: the canonical identity.
    recipe_name: what the benchmark calls the student's recipe; "" for teachers, which have one for all.
    seeding: what each seed draws anew: "student", "student+teacher", "student+data" or "student+teacher+data".
    start: the cell whose trained weights the student begins with, if any.
    reference_teachers: the pair's teachers, where the cells that lead to this one have them all; the student is
        measured against them.
    weight_files: by SHA-256, where the files lie that networks begin with.
    sheltered: whether its networks hold what they learned from private images, so that no file of theirs is handed on.
    secret: whether its method's noise is: no other training gives its numbers, and each is a release of its own.
    accounted: whether it was trained on private images by a method that does so (`Method.trains_on`), and states what
        that costs.
    teacher_seed: of a spread's teachers; None where the run's rule says it.
    tracks: by track that it stands in, its variant there; nothing where that is the default track alone.
    by_pair: of the published track, those of its parameters that authors choose for each pair, as they are here.
    seen_data: by model of the run, what the weights that its networks begin with were trained on.
    """

    key: str
    benchmark: str
    protocol: str
    deviations: str
    dataset: str
    dataset_parameters: Mapping[str, Any]
    scenario: str
    role: str
    method: str
    variant: str
    parameters: Mapping[str, Any]
    method_package: str
    method_revision: str
    pair: Pair
    teachers: tuple[TeacherSource, ...]
    seed: int
    regime: str
    document: Mapping[str, Any] = field(repr=False, metadata=UNREAD)
    recipe_name: str = STANDARD
    seeding: str = "student"
    start: TeacherSource | None = None
    reference_teachers: tuple[TeacherSource, ...] = ()
    weight_files: Mapping[str, str] = field(default_factory=dict)
    sheltered: bool = False
    secret: bool = False
    accounted: bool = False
    teacher_seed: int | None = None
    tracks: Mapping[str, str] = field(default_factory=dict)
    by_pair: Mapping[str, Any] = field(default_factory=dict)
    seen_data: Mapping[str, str] = field(default_factory=dict)

    @property
    def standings(self) -> Mapping[str, str]:
        """By track that it stands in, its variant there. Teachers and steps stand in none, which is called ""."""
        if self.role not in (STUDENT, SPREAD):
            return {"": self.variant}
        return self.tracks or {DEFAULT_TRACK: self.variant}

    def standing_in(self, standings: Mapping[str, str]) -> Cell:
        """With these standings in place of its own. The default track's variant is the cell's, where it has one."""
        ordered = dict(sorted(standings.items(), key=lambda item: item[0] != DEFAULT_TRACK))
        usual = set(ordered) <= {DEFAULT_TRACK, ""}
        variant, by_pair = next(iter(ordered.values())), {} if usual else self.by_pair
        return replace(self, variant=variant, tracks={} if usual else ordered, by_pair=by_pair)

    def beside(self, other: Cell) -> Cell:
        """The same cell, asked for twice: in the greater role, or in the tracks of both."""
        if other.role != self.role:
            return other if outranks(other.role, self.role) else self
        both = {**other.standings, **self.standings}
        if both.keys() == self.standings.keys():
            return self
        return replace(self.standing_in(both), by_pair=self.by_pair or other.by_pair)

    @property
    def student(self) -> str:
        """The model that is trained."""
        return self.pair.student

    @property
    def teacher(self) -> str:
        """The names of the pair's teachers joined by '+', '' without one."""
        return "+".join(self.pair.teachers)

    @property
    def requires(self) -> tuple[str, ...]:
        """Keys of the cells that must be done before this one."""
        return tuple(dict.fromkeys(s.cell for s in (*self.sources, *self.reference_teachers) if s.cell))

    @property
    def sources(self) -> tuple[TeacherSource, ...]:
        """The teachers, and what the student starts from."""
        return (*self.teachers, *([self.start] if self.start else []))

    @property
    def has_private_images(self) -> bool:
        """Whether its scenario keeps images from students."""
        return keeps_images_private(self.document)

    @property
    def saw_private(self) -> bool:
        """Whether it was trained on them."""
        return saw_private(self.document)

    @property
    def unprotected(self) -> bool:
        """Whether it was trained on them and says nothing of what that costs."""
        return self.saw_private and not self.accounted

    @property
    def networks(self) -> tuple[str, ...]:
        """Models of the further networks that the method makes."""
        return tuple(network["name"] for network in self.document.get("networks", ()))

    def network(self, model: str) -> Mapping[str, Any]:
        """What the document says of a model that the cell has networks of."""
        parts = (self.document["student"], *self.document["teachers"], *self.document.get("networks", ()))
        return next(part for part in parts if part["name"] == model)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """All fields, those too that the document leaves out."""
        return completed_part(self.document.get("recipe", {}), Recipe)

    @property
    def addresses(self) -> Mapping[str, str]:
        """By track, what the cell is called, whatever its contents: a newer plan's cell at the same address replaces it
        there.
        """
        return {track: self.address_at(place) for track, place in self.places.items()}

    def address_at(self, place: str) -> str:
        """place: one of `places`."""
        sources = [f"{t.model}@file" if t.sha256 else t.model for t in self.teachers]
        return canonical({"a": [place, self.teacher, *sources]})

    @property
    def places(self) -> Mapping[str, str]:
        """The addresses whoever teaches."""
        return {track: self._place(track, variant) for track, variant in self.standings.items()}

    def _place(self, track: str, variant: str) -> str:
        # Where each student seed has data of its own, so have the teachers of one seed.
        data_seed = self.document.get("scenario", {}).get("seed") if self.seeding.endswith("data") else ""
        names = (
            self.deviations,
            self.dataset,
            self.scenario,
            self.recipe_name,
            data_seed,
            self.role,
            self.document["subset"],
            self.method,
            variant,
            track,
        )
        spread = [] if self.teacher_seed is None else [self.teacher_seed]
        return canonical({"a": [self.benchmark, *names, self.student, self.seed, *spread]})

    @property
    def shown_pair(self) -> str:
        """For people: 'conv32:conv16'. A step that another step teaches shows that one's model as its teacher."""
        teacher = self.teacher or "+".join(source.model for source in self.teachers if self.role == STEP)
        return f"{teacher}:{self.student}" if teacher else self.student

    @property
    def label(self) -> str:
        """For people: 'kd conv32:conv16 digits seed 0'."""
        name = f"{self.method}[{self.variant}]" if self.variant else self.method
        scenario = "" if self.scenario == "clean" else f" {self.scenario}"
        recipe = f" {self.recipe_name}" if self.recipe_name not in ("", STANDARD) else ""
        kind = "" if self.role == STUDENT else f"{self.role} "
        subset = self.document["subset"]
        part = f" {subset}" if PrivatePart.of(subset) else ""
        under = "" if self.teacher_seed is None else f", teacher seed {self.teacher_seed}"
        where = f"{self.dataset}{scenario}{part}{recipe}{self.shown_track}"
        return f"{kind}{name} {self.shown_pair} {where} seed {self.seed}{under}"

    @property
    def shown_track(self) -> str:
        """For people: ' published' for what stands in no other track."""
        return "" if self.standings.keys() & {DEFAULT_TRACK, ""} else f" {'+'.join(self.standings)}"

    @property
    def info(self) -> CellInfo:
        return CellInfo(
            key=self.key,
            benchmark=self.benchmark,
            dataset=self.dataset,
            scenario=self.scenario,
            role=self.role,
            method=self.method,
            variant=self.variant,
            teacher=self.teacher,
            student=self.student,
            seed=self.seed,
            recipe=self.recipe_name,
            track=next(iter(self.standings)),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data that shares its parts with the cell."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **own,
            "pair": asdict(self.pair),
            "teachers": [asdict(source) for source in self.teachers],
            "start": asdict(self.start) if self.start else None,
            "reference_teachers": [asdict(source) for source in self.reference_teachers],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], made: Made = _anew) -> Cell:
        """ValueError, KeyError or TypeError for what lacks something. Types are for the caller to check.

        made: gives what a function makes of a part, which may be what it made of an equal one before.
        """
        parts = {
            "teachers": made(_sources, data["teachers"]),
            "reference_teachers": made(_sources, data["reference_teachers"]),
            "start": made(_start, data["start"]),
            "pair": made(_pair, data["pair"]),
        }
        cell = cls(**{**data, **parts})
        _check_document(cell.document)
        return cell


def _sources(data: Any) -> tuple[TeacherSource, ...]:
    return tuple(TeacherSource(**source) for source in data)


def _start(data: Any) -> TeacherSource | None:
    return TeacherSource(**data) if data else None


def _pair(data: Any) -> Pair:
    return Pair(tuple(data["teachers"]), data["student"])


def _check_document(document: Mapping[str, Any]) -> None:
    """ValueError where it lacks what every reader of a cell takes from it."""
    if not isinstance(document, Mapping):
        raise ValueError("the document is no object")
    scenario = document.get("scenario", {})
    parts = [document.get(name, {}) for name in ("method", "student", "dataset", "recipe", "evaluation")]
    teachers = document.get("teachers", ())
    if not isinstance(teachers, list | tuple) or not all(isinstance(each, Mapping) for each in (*parts, *teachers)):
        raise ValueError("a part of the document is not what it should be")
    if not isinstance(document.get("subset"), str) or not (isinstance(scenario, Mapping) and is_bounded(scenario)):
        raise ValueError("the document's subset or scenario is not what it should be")
