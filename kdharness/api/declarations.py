"""What methods and models declare, as plain data. Importing this module loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from kdharness.api.parameters import check_name

if TYPE_CHECKING:
    from torch import nn

Tap = Literal["stages", "pre_activations", "embedding"]


@dataclass(frozen=True)
class Reads:
    """What a method's `losses` reads. What is not declared is not computed.

    teachers: "none", "one" (`teacher` is one Outputs) or "many" (`teacher` is a sequence of Outputs, one per teacher,
        each computed when it is first asked for). To a method that reads one, the several teachers of a pair are
        shown as one ensemble: its logits are the logarithm of their mean probabilities, and it has no taps.
    taps: of "stages", "pre_activations", "embedding": what Outputs of student and teachers hold beside the logits.
    indices: `batch.indices`, positions in the cell's training subset.
    views: the augmentation of each view; "recipe" is the recipe's own, "weak" and "none" are the others.
    partners: "same_class" adds `batch.partners`, for each sample another image of its class.
    """

    teachers: Literal["none", "one", "many"] = "one"
    taps: tuple[Tap, ...] = ()
    indices: bool = False
    views: tuple[str, ...] = ("recipe",)
    partners: Literal["none", "same_class"] = "none"


@dataclass(frozen=True)
class ModelSpec:
    """A model family member: a factory `(num_classes, input_shape=(C, H, W)) -> nn.Module` and the names of its parts.

    stages: module paths, shallow to deep, whose outputs [N, C, H, W] are the stage features.
    pre_activations: module paths (one per stage) whose *inputs* are the features before the stage's last activation.
    norms: module paths (one per stage) of the last BatchNorm before that activation (OFD's margins).
    classifier: module path of the last linear layer; its input is the embedding [N, D].
    What is left out makes methods that need it be skipped.
    """

    name: str
    factory: Callable[..., nn.Module]
    summary: str = ""
    stages: tuple[str, ...] = ()
    pre_activations: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    classifier: str = ""
    paper: str = ""
    revision: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "model")


@dataclass(frozen=True)
class Player:
    """A set of trained parts with an optimiser of its own.

    parts: attribute paths that begin with "student" or "method" ("student", "method.adapter"); together the
    parameters they hold.
        "method" alone means every parameter of the method that no other player of the phase names.
    optimizer: fields of the recipe's optimiser to replace, e.g. {"optimizer": "adam", "lr": 1e-3}.
    lasting: the optimiser, its moments included, outlives the phase: a later phase's lasting player of the same name
        goes on with it, at its own learning rate. Otherwise each phase begins with a new one.
    """

    name: str = "main"
    parts: tuple[str, ...] = ("student", "method")
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    lasting: bool = False


@dataclass(frozen=True)
class Phase:
    """A stretch of training. Its schedule runs over its own length.

    epochs: its length in epochs; None: `fraction` of the recipe's.
    subset: the training data it sees, a name that the scenario defines ("train" everywhere).
    batch_size: None for the recipe's. recipe: other recipe fields to replace (schedule, milestones, ...).
    """

    name: str = "train"
    epochs: int | None = None
    fraction: float = 1.0
    subset: str = "train"
    batch_size: int | None = None
    players: tuple[Player, ...] = (Player(),)
    recipe: Mapping[str, Any] = field(default_factory=dict)
