"""What the command line asks for: filters over a benchmark's axes, and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdharness.errors import UserError


@dataclass(frozen=True)
class MethodChoice:
    """A method to run.

    name: the method's.
    parameters: beside the benchmark's.
    without: loss terms to leave out.
    place: where these come from, for errors.
    part: what an ablation calls it; "" outside one.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    place: str = ""
    part: str = ""


@dataclass(frozen=True)
class Selection:
    """What a command asks of a benchmark. None stands for what the benchmark says.

    methods: names, or "all".
    skip: methods to leave out.
    datasets: names.
    pairs: as they are written.
    scenarios: names.
    recipe: a recipe that comes with kdharness, in place of the benchmark's; "" for that.
    recipes: names.
    seeds: of students.
    teacher_seeds: "single" or "paired".
    scenario_seeds: "fixed" or "paired".
    track: "default", "published" or "both".
    teacher_spread: seeds of teachers that the first student seed is trained under besides.
    settings: "owner.key=value" of --set.
    epochs: in place of the recipe's.
    teachers: "FILE" or "model=FILE" of --teacher.
    choices: what to run in place of `methods`.
    data_root: the folder of all data.
    download: whether what is not there may be downloaded.
    """

    methods: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    pairs: tuple[str, ...] | None = None
    scenarios: tuple[str, ...] | None = None
    recipe: str = ""
    recipes: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    teacher_seeds: str | None = None
    scenario_seeds: str | None = None
    track: str | None = None
    teacher_spread: tuple[int, ...] | None = None
    settings: tuple[str, ...] = ()
    epochs: int | None = None
    teachers: tuple[str, ...] = ()
    choices: tuple[MethodChoice, ...] | None = None
    data_root: Path = Path("data")
    download: bool = False


# What --set says: by owner (a method, a dataset, a model, an optimiser, "recipe" or "student") and key.
Settings = Mapping[str, Mapping[str, str]]


def parse_settings(settings: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """{"kd": {"temperature": "2"}} from ("kd.temperature=2",). UserError names the setting that is not of that form."""
    parsed: dict[str, dict[str, str]] = {}
    for setting in settings:
        target, equals, value = setting.partition("=")
        owner, dot, key = target.strip().partition(".")
        if not equals or not dot or not owner or not key:
            forms = ", ".join(f"{kind}.parameter=value" for kind in ("method", "dataset", "model", "optimizer"))
            raise UserError(f"--set {setting}: not of the form {forms}, recipe.field=value, student.field=value")
        parsed.setdefault(owner, {})[key] = value.strip()
    return parsed
