"""What phases may say: fields of the recipe that they replace, parts of networks that their players train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdharness.errors import nearest
from kdharness.failures import Failure, attempt
from kdharness.protocol.recipe import Recipe

if TYPE_CHECKING:  # it loads torch
    from torch import nn

    from kdharness.api.declarations import Phase, Player
    from kdharness.api.method import Method

# What a player may replace of the recipe, and what a phase may beside that; the other fields hold for a whole cell.
PLAYER_FIELDS = (
    "optimizer",
    "lr",
    "momentum",
    "nesterov",
    "weight_decay",
    "schedule",
    "milestones",
    "gamma",
    "warmup_epochs",
    "schedule_per",
    "min_lr",
    "clip_norm",
    "decay_norms_and_biases",
)
PHASE_FIELDS = ("label_smoothing", "loss", "mixup", "cutmix", "mixing_probability", "mixing_off_epoch")


def recipe_fields(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a player's changes that are fields of the recipe; the others are its optimiser's own parameters."""
    return {key: value for key, value in changes.items() if key in Recipe.model_fields}


def phase_faults(phase: Phase, student: nn.Module) -> Iterator[str]:
    """What is wrong with a phase, as far as it can be told before the method is built. student: the plain network."""
    yield from _wrong_fields(phase.recipe, f"phase '{phase.name}'", (*PLAYER_FIELDS, *PHASE_FIELDS))
    for player in phase.players:
        owner = f"player '{player.name}' of phase '{phase.name}'"
        if isinstance(player.parts, str):
            yield f"parts of {owner} is a text; it is a tuple of paths: ({player.parts!r},)"
            continue
        yield from _wrong_fields(recipe_fields(player.optimizer), owner, PLAYER_FIELDS)
        for path in player.parts:
            if _root(path) != "method" and not holds(student, path):
                yield no_part(phase, path, student)
    if nothing := _trains_nothing(phase, student):
        yield nothing


def no_part(phase: Phase, path: str, student: nn.Module, method: nn.Module | None = None) -> str:
    """What to say of a part that does not exist: the nearest one that does."""
    return f"phase '{phase.name}' names the part '{path}', which does not exist{_hint(path, student, method)}"


def _hint(path: str, student: nn.Module, method: nn.Module | None) -> str:
    inner = path.replace("student.network.", "student.", 1)  # the wrapper's own attribute is no part of a path
    there = [*_paths("student", student), *(_paths("method", method) if method is not None else ["method"])]
    close = [inner] if inner in there else nearest(path, there)
    if close:
        return "; did you mean " + " or ".join(f"'{name}'" for name in close) + "?"
    return " (paths begin with 'student' or 'method')"


def _paths(root: str, module: nn.Module) -> Iterator[str]:
    yield root
    for name, _ in (*module.named_modules(), *module.named_parameters()):
        if name:
            yield f"{root}.{name}"


def _root(path: str) -> str:
    return path.partition(".")[0]


def holds(student: nn.Module, path: str) -> bool:
    """Whether the network has such a part: itself, a module or a parameter of it."""
    return path in _paths("student", student)


def _trains_nothing(phase: Phase, student: nn.Module) -> str:
    """Of a phase all of whose players' parts lie in the student, and none of which has a parameter."""
    paths = [path for player in phase.players for path in _paths_of(player)]
    if not paths or any(_root(path) != "student" for path in paths) or not all(holds(student, p) for p in paths):
        return ""
    below = [f"{path.partition('.')[2]}." for path in paths]
    names = [f"{name}." for name, _ in student.named_parameters()]
    if any(name.startswith(prefix) or prefix == "." for name in names for prefix in below):
        return ""
    return f"phase '{phase.name}' trains nothing: {_listed(paths)} {'has' if len(paths) == 1 else 'have'} no parameters"


def _paths_of(player: Player) -> Sequence[str]:
    return () if isinstance(player.parts, str) else player.parts


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _wrong_fields(changes: Mapping[str, Any], owner: str, allowed: Sequence[str]) -> Iterator[str]:
    """A field that cannot be another one here would be passed over in silence."""
    for name in changes:
        if name not in allowed:
            close = nearest(name, allowed)
            meant = f"did you mean '{close[0]}'?" if close and name not in Recipe.model_fields else ""
            yield f"{owner} replaces '{name}' of the recipe, which it cannot; {meant or f'it can: {_plain(allowed)}'}"


def _plain(names: Sequence[str]) -> str:
    return ", ".join(names)


def unlike_recipe(method: Method) -> str:
    """One line on a method whose phases' shares are not one whole recipe; "" where they are."""
    shares = attempt(lambda: [(phase.name, phase.fraction, phase.epochs) for phase in method.phases()])
    if isinstance(shares, Failure) or any(epochs is not None for *_, epochs in shares):
        return ""  # of phases that rest on what `build` makes nothing is known
    whole = sum(fraction for _, fraction, _ in shares)
    if abs(whole - 1) < 1e-6:
        return ""
    each = ", ".join(f"{name} {fraction:g}" for name, fraction, _ in shares)
    return f"method '{method.name}' trains for {whole:g} of the recipe's epochs: the fractions of its phases are {each}"
