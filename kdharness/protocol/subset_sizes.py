"""How many images each subset of a scenario has. Labels decide which images are in it, never how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kdharness.protocol.coins import coins


@dataclass(frozen=True)
class Share:
    """A part of the training split: how many images it has, how many of them are held out for validation, and how many
    are nobody's.
    """

    images: int
    held: int
    left_out: int = 0

    @classmethod
    def of(cls, images: int, validation: float) -> Share:
        return cls(images, round(validation * images))

    @property
    def left(self) -> int:
        return self.images - self.held - self.left_out


@dataclass(frozen=True)
class Shares:
    """The training split in two: what the student may see with its labels, and the rest.

    teacher_sees_rest: whether teachers do. Then a share of it is held out for their validation.
    """

    seen: Share
    rest: Share
    teacher_sees_rest: bool

    @classmethod
    def of(cls, scenario: Mapping[str, Any], images: int, validation: float) -> Shares:
        """scenario: its definition, as in a cell's document. images: in the whole training split."""
        seen, teacher_sees_rest = _seen(scenario, images), scenario["kind"] in ("few", "split")
        rest = Share.of(images - seen, validation if teacher_sees_rest else 0.0)
        if scenario.get("candidates"):
            rest = replace(rest, left_out=coins(scenario, rest.left).count(False))
        return cls(Share.of(seen, validation), rest, teacher_sees_rest)


def _seen(scenario: Mapping[str, Any], images: int) -> int:
    if scenario["kind"] in ("few", "small"):
        return min(int(scenario["images"]), images)
    return round(scenario["public"] * images) if scenario["kind"] == "split" else images


def subset_names(kind: str) -> tuple[str, ...]:
    """The subsets that methods may know of, in a scenario of this kind."""
    return ("train", "teacher", "public") if kind == "split" else ("train", "teacher")


def private_size(scenario: Mapping[str, Any], images: int, validation: float) -> int:
    """How many images teachers see that students do not; 0 where the scenario keeps nothing private."""
    return Shares.of(scenario, images, validation).rest.left if scenario["kind"] == "split" else 0


def subset_sizes(scenario: Mapping[str, Any], images: int, validation: float) -> dict[str, int]:
    """Images by the name of each subset that methods may know of."""
    shares = Shares.of(scenario, images, validation)
    student = shares.seen.left
    sizes = {"train": student, "teacher": student + shares.teacher_sees_rest * shares.rest.left, "public": student}
    return {name: sizes[name] for name in subset_names(scenario["kind"])}
