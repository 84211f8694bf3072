"""What methods and models declare, as plain data. Importing this module loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from kdharness.api.parameters import Parameter, check_name
from kdharness.api.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

Tap = Literal["stem", "stages", "pre_activations", "embedding", "tokens"]
Teachers = Literal["none", "one", "many"]
Partners = Literal["none", "same_class"]
Order = Literal["shuffled", "selection"]
# What becomes of a method where images are mixed; see `Method.mixed_labels`.
MixedLabels = Literal["mix", "larger", "refuse"]


@dataclass(frozen=True)
class Wanted:
    """What is to be kept of one network's forward pass beside its outputs.

    taps: named ones.
    modules: paths of modules whose outputs are kept.
    """

    taps: tuple[Tap, ...] = ()
    modules: tuple[str, ...] = ()

    def __or__(self, other: Wanted) -> Wanted:
        """What either wants."""
        taps = dict.fromkeys((*self.taps, *other.taps))
        return Wanted(tuple(taps), tuple(dict.fromkeys((*self.modules, *other.modules))))


@dataclass(frozen=True)
class View:
    """One view of each image that a method reads, and who is shown it.

    name: of an installed view, or "recipe": the one that the recipe names. Two of one name are drawn apart.
    student: whether the student is run on it.
    teacher: whether teachers are.
    """

    name: str
    student: bool = True
    teacher: bool = True


@dataclass(frozen=True)
class Reads:
    """What a method's `losses` reads. What is not declared is not computed.

    teachers: "none"; "one": `teacher` is one Outputs; "many": a sequence of Outputs, one per teacher, each computed
        when it is first asked for. A method that reads one sees the several teachers of a pair as one ensemble: its
        logits are the logarithm of their mean probabilities, and it has no taps.
    taps: of "stem", "stages", "pre_activations", "embedding", "tokens": what Outputs of student and teachers hold
        beside the logits. All networks must declare them.
    modules: module paths in the student, such as "layer1.0.conv1": `student.module(path)` is what it returned.
    teacher_modules: the same in each teacher.
    indices: whether `batch.indices` is there: positions in the cell's training subset.
    views: each a View, or the name of one that student and teachers see.
    partners: "same_class" adds `batch.partners`: for each sample another image of its class.
    teacher_taps: those of teachers, where they are not the student's; None: they are. Each side must declare its own.
    """

    teachers: Teachers = "one"
    taps: tuple[Tap, ...] = ()
    modules: tuple[str, ...] = ()
    teacher_modules: tuple[str, ...] = ()
    indices: bool = False
    views: tuple[View | str, ...] = (View("recipe"),)
    partners: Partners = "none"
    teacher_taps: tuple[Tap, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("taps", "modules", "teacher_modules", "teacher_taps", "views"):
            if isinstance(value := getattr(self, name), str):
                raise ValueError(f"reads: {name} is a tuple of names, got {value!r}; for one name: ({value!r},)")
        for name, given in (("taps", self.taps), ("teacher_taps", self.teacher_taps or ())):
            _check_words(name, given, get_args(Tap))
        _check_words("teachers", (self.teachers,), get_args(Teachers))
        _check_words("partners", (self.partners,), get_args(Partners))
        object.__setattr__(self, "views", self.declared_views)
        if not any(view.student for view in self.declared_views):
            raise ValueError("views must have one that the student sees")
        if self.teachers != "none" and not any(view.teacher for view in self.declared_views):
            raise ValueError(f'views must have one that teachers see, for teachers="{self.teachers}"')

    @property
    def declared_views(self) -> tuple[View, ...]:
        """`views` without names in place of a View."""
        return tuple(View(view) if isinstance(view, str) else view for view in self.views)

    def view_names(self, recipe: str) -> tuple[str, ...]:
        """What each of `views` is. recipe: the view that the recipe names."""
        return tuple(recipe if view.name == "recipe" else view.name for view in self.declared_views)

    @property
    def of_student(self) -> Wanted:
        """What is kept of the student's forward passes."""
        return Wanted(self.taps, self.modules)

    @property
    def of_teachers(self) -> Wanted:
        """What is kept of each teacher's."""
        return Wanted(self.taps if self.teacher_taps is None else self.teacher_taps, self.teacher_modules)


def _check_words(field: str, given: object, known: tuple[str, ...]) -> None:
    """ValueError for a word that there is not: it would be passed over in silence."""
    if not isinstance(given, tuple | list):
        raise ValueError(f"reads: {field} is a tuple of names, got {given!r}")
    for word in given:
        if word not in known:
            hint = "".join(f"; did you mean '{close}'?" for close in get_close_matches(str(word), known, n=1))
            raise ValueError(f"reads: {field} has '{word}', which is none of {', '.join(known)}{hint}")


@dataclass(frozen=True)
class Tokens:
    """How tokens [N, L, D], the outputs of a network's stages, lie in the image, row by row.

    prefix: how many come first and are of no place: the class token, the distillation token.
    grid: rows and columns of the others; "image": as many as there are, in the proportions of the images; None: they
        have no places, and never become maps.
    """

    prefix: int = 0
    grid: tuple[int, int] | Literal["image"] | None = "image"


@dataclass(frozen=True)
class Pretrained:
    """Weights that somebody trained and published.

    url: of a file that holds a state dict.
    preprocessing: what networks with these weights do to pixels; None: what the model's networks do anyhow.
    sha256: of the file, or its first hexadecimal digits; "" where nobody says.
    renamed: from the file's names of tensors to the network's.
    seen_data: what they were trained on, as others call it: "ImageNet-1k", several joined by "+"; "" where nobody says.
    """

    url: str
    preprocessing: Preprocessing | None = None
    sha256: str = ""
    renamed: Callable[[str], str] | None = None
    seen_data: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A network: its factory, and the names of its parts. Methods that need a part which is not named skip the model.

    name: [a-z][a-z0-9_]*.
    factory: takes (num_classes, input_shape), the shape being (C, H, W), and `parameters` as keywords; returns an
        nn.Module. Its forward takes images and returns the logits [N, classes], or several outputs by name: a mapping,
        or a named tuple. They have the same names in train mode and in eval mode, but for `auxiliary`.
    summary: one line for listings.
    stem: module path of the layers before the first stage, whose output [N, C, H, W] is the tap "stem".
    stages: module paths, shallow to deep, whose outputs are the stage features: maps [N, C, H, W] or tokens [N, L, D].
    pre_activations: module paths, one per stage, whose *inputs* are the features before the stage's last activation.
    norms: module paths, one per stage, of the last BatchNorm before that activation (OFD's margins).
    classifier: module path of the last linear layer; its input is the embedding [N, D].
    tokens: how the stages' tokens lie in the image; None: the stages are maps.
    logits: which of several outputs is the logits; it means the same in train mode and in eval mode.
    auxiliary: names of outputs that are there in train mode alone.
    preprocessing: what it does to pixels in [0, 1]; None: it normalises by the dataset's mean and std. The factory's
        input_shape is that of what comes out of it.
    parameters: typed, with their defaults; a benchmark sets them beside fields of the recipe, which go first.
    pretrained: gives published weights by name, which a benchmark may let networks begin with.
    renamed: from names of tensors in others' files of this network to its own; names that it has are left alone.
    paper: authors, title, venue, year.
    revision: raised by hand when the network changes; None: the package's version stands for it.
    """

    name: str
    factory: Callable[..., nn.Module]
    summary: str = ""
    stages: tuple[str, ...] = ()
    pre_activations: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    classifier: str = ""
    stem: str = ""
    tokens: Tokens | None = None
    logits: str = "logits"
    auxiliary: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None
    parameters: tuple[Parameter, ...] = ()
    pretrained: Callable[[], Mapping[str, Pretrained]] | None = None
    renamed: Callable[[str], str] | None = None
    paper: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "model")
        for name in ("pre_activations", "norms"):
            paths = getattr(self, name)
            if paths and len(paths) != len(self.stages):
                stages = f"{len(self.stages)} stages"
                raise ValueError(
                    f"model '{self.name}': {name} has {len(paths)} paths for {stages}, and not one of each"
                )

    def configured(self, given: Mapping[str, Any]) -> ModelSpec:
        """The spec whose factory has all parameters: those given, JSON-valued, and the defaults of the others."""
        if not self.parameters:
            return self
        values = {p.name: p.coerce(given.get(p.name, p.default)) for p in self.parameters}
        return replace(self, factory=partial(self.factory, **values))


@dataclass(frozen=True)
class Player:
    """A set of trained parts with an optimiser of its own: a parameter group, as others call it.

    name: what `Step` calls it.
    parts: paths that begin with "student" or "method". What follows "student." is a path inside the plain network, as
        `ModelSpec.stages` has them ("student.layer1"); what follows "method." an attribute path ("method.adapter"). It
        trains all parameters below them. "method" alone means every parameter of the method that no other player of the
        phase names.
    optimizer: fields of the recipe to replace that are about optimiser, schedule and clipping, and parameters of the
        optimiser's own: {"optimizer": "adam", "lr": 1e-3, "eps": 1e-6}.
    lasting: whether the optimiser and its moments outlive the phase. A later phase's lasting player of the same name
        goes on with them, at its own learning rate. Otherwise each phase begins with new ones.
    """

    name: str = "main"
    parts: tuple[str, ...] = ("student", "method")
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    lasting: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of training. Its schedule runs over its own length.

    name: what `batch.step.phase` says.
    epochs: its length in epochs; None: by `fraction`.
    fraction: its length as a share of the recipe's epochs.
    subset: the training data it sees, a name that the scenario defines ("train" everywhere).
    batch_size: None for the recipe's.
    players: who trains what.
    recipe: recipe fields to replace: what players may, and what is done to labels (schedule, mixup, ...).
    order: of an epoch's samples: "shuffled", or "selection": as `Method.select` gave them, or as the subset has them
        where it chose none.
    """

    name: str = "train"
    epochs: int | None = None
    fraction: float = 1.0
    subset: str = "train"
    batch_size: int | None = None
    players: tuple[Player, ...] = (Player(),)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    order: Order = "shuffled"

    def __post_init__(self) -> None:
        if self.order not in get_args(Order):
            raise ValueError(f"phase '{self.name}': order is {self.order!r}, none of {', '.join(get_args(Order))}")
