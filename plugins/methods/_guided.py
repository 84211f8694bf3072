"""Methods that first train the student's features alone, and then the whole student on labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from torch import nn

from kdharness.api import Phase, Player, StagedModel

# The learning rate stays as the recipe begins.
CONSTANT = {"schedule": "constant", "warmup_epochs": 0.0}
# What a method that is not built yet knows of its student's parts.
ALL_PARTS: tuple[str, ...] = ("student",)


def feature_parts(model: StagedModel) -> tuple[str, ...]:
    """The student's parts up to its deepest stage, as a player names them: what lies beyond is left out."""
    beyond = {id(parameter) for parameter in model.sections()[-1]}
    return tuple(_parts("student", model.network, beyond))


def _parts(path: str, module: nn.Module, beyond: Collection[int]) -> Iterator[str]:
    parameters = [id(parameter) for parameter in module.parameters()]
    if parameters and not any(parameter in beyond for parameter in parameters):
        yield path
        return
    for name, child in module.named_children():
        yield from _parts(f"{path}.{name}", child, beyond)


def features_first(parts: Sequence[str], share: float) -> list[Phase]:
    """Phase "init", which trains `parts` for a share of the recipe's epochs, and "train", the student by the recipe."""
    return [
        Phase("init", fraction=share, players=(Player(parts=tuple(parts)),), recipe=CONSTANT),
        Phase("train", players=(Player(parts=("student",)),)),
    ]
