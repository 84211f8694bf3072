"""Benchmarks: protocols as TOML files, validated with the file, key, value and nearest name of what is wrong."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kdharness.errors import UserError, unknown
from kdharness.protocol.claim import Claim
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.scenario import SCENARIO_FIELDS, Scenario
from kdharness.protocol.variant import Variant


def parse_seeds(text: object) -> tuple[int, ...]:
    """Seeds from "0-4" (inclusive), "0,3", or a list of integers; repeated ones count once. ValueError when it is none
    of them, or empty.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str):
        found: list[int] = []
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                raise ValueError(f"'{part.strip()}' is neither a seed nor a range like 0-4")
            found += range(int(first), int(last or first) + 1)
    elif isinstance(text, list | tuple) and all(type(s) is int and s >= 0 for s in text):
        found = list(text)
    else:
        raise ValueError("seeds are a range like '0-4', or a list of non-negative integers")
    if not found:
        raise ValueError(f"'{text}' holds no seed")
    return tuple(dict.fromkeys(found))


class PairNames(BaseModel):
    """teachers: names of one or more models, () for none; student: a model's name."""

    model_config = ConfigDict(frozen=True)
    teachers: tuple[str, ...]
    student: str

    @classmethod
    def parse(cls, text: object) -> PairNames:
        """From "teacher:student" or "t1+t2:student". ValueError otherwise."""
        if isinstance(text, cls):
            return text
        left, colon, right = str(text).partition(":")
        if not colon or not right.strip() or not left.strip() or ":" in right:
            raise ValueError(f"'{text}' is not of the form teacher:student or teacher1+teacher2:student")
        return cls(teachers=tuple(t.strip() for t in left.split("+")), student=right.strip())

    def __str__(self) -> str:
        return f"{'+'.join(self.teachers)}:{self.student}"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvaluationRule(_Table):
    """every: epochs between looks at the test split (0: the last ten epochs only); validation: share of the training
    split held out to
    choose the epoch by (0: the last epoch counts)."""

    every: int = Field(0, ge=0)
    validation: float = Field(0.0, ge=0, lt=1)


class Benchmark(_Table):
    """A benchmark file.

    teacher: recipe fields that differ for teachers; models: by model name, recipe fields that differ for that network;
    methods: by method name, parameters that differ from its defaults (a table "pairs" in it: by pair); dataset: by
    dataset name, its parameters;
    scenario: definitions by name. teacher_seed: of all teachers. teacher_top1_floor: percent that a teacher from a
    file must reach.
    variants: run beside the plain methods, where their method is selected; claims: answered by reports.
    """

    name: str
    summary: str = ""
    note: str = ""
    datasets: tuple[str, ...]
    pairs: tuple[Annotated[PairNames, BeforeValidator(PairNames.parse)], ...]
    scenarios: tuple[str, ...] = ("clean",)
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = (0, 1, 2, 3, 4)
    teacher_seed: int = 0
    teacher_top1_floor: float | None = None
    run: tuple[str, ...] = ("all",)
    references: tuple[str, ...] = ("vanilla", "kd")
    metrics: tuple[str, ...] = ("all",)
    recipe: Recipe
    teacher: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    dataset: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scenario: dict[str, Annotated[Scenario, Field(discriminator="kind")]] = Field(default_factory=dict)
    evaluation: EvaluationRule = EvaluationRule()
    variants: tuple[Variant, ...] = ()
    claims: tuple[Claim, ...] = ()


def available() -> dict[str, Path]:
    """The benchmark files that come with kdharness, by name."""
    folder = Path(str(files("kdharness_benchmarks")))
    return {path.stem.replace("_", "-"): path for path in sorted(folder.glob("*.toml"))}


def load(name: str) -> Benchmark:
    """The benchmark of that name, or in that file. UserError with one line otherwise."""
    path = Path(name)
    if name in available():
        path = available()[name]
    elif path.suffix != ".toml" and not path.exists():
        raise unknown("benchmark", name, available(), "give a name or a path to a .toml file")
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    except OSError as error:
        raise UserError(f"benchmark file {path} cannot be read: {error.strerror}") from None
    content.setdefault("name", path.stem.replace("_", "-"))
    return parse(content, str(path))


def parse(content: Mapping[str, Any], source: str) -> Benchmark:
    """A benchmark from a parsed TOML document. UserError names source, key, value and the nearest valid key."""
    try:
        benchmark = Benchmark.model_validate(content)
    except ValidationError as error:
        raise UserError(_explain(error, source)) from None
    for axis in ("datasets", "pairs", "scenarios"):
        if not getattr(benchmark, axis):
            raise UserError(f"{source}: '{axis}' is empty, so there is nothing to run")
    _check_pair_tables(benchmark, source)
    for table, changes in [("teacher", benchmark.teacher), *((f"models.{k}", v) for k, v in benchmark.models.items())]:
        try:
            benchmark.recipe.replaced(changes)
        except ValidationError as error:
            raise UserError(_explain(error, source, (table,))) from None
    return benchmark


def _check_pair_tables(benchmark: Benchmark, source: str) -> None:
    """UserError where a method's parameters by pair are not of that form."""
    for method, table in benchmark.methods.items():
        by_pair = table.get("pairs", {})
        if not isinstance(by_pair, dict) or not all(isinstance(values, dict) for values in by_pair.values()):
            raise UserError(f"{source}: methods.{method}.pairs holds no tables of parameters by pair")
        for pair in by_pair:
            try:
                PairNames.parse(pair)
            except ValueError as error:
                raise UserError(f"{source}: methods.{method}.pairs: {error}") from None


_KEYS: dict[str, tuple[str, ...]] = {
    "": tuple(Benchmark.model_fields),
    "recipe": tuple(Recipe.model_fields),
    "teacher": tuple(Recipe.model_fields),
    "models": tuple(Recipe.model_fields),
    "evaluation": tuple(EvaluationRule.model_fields),
    "variants": tuple(Variant.model_fields),
    "claims": tuple(Claim.model_fields),
}


def _explain(error: ValidationError, source: str, under: tuple[str, ...] = ()) -> str:
    first = error.errors()[0]
    place = (*under, *(str(part) for part in first["loc"]))
    valid = _KEYS.get(place[0].partition(".")[0] if len(place) > 1 else "", ())
    if place[0] == "scenario" and len(place) > 2:  # pydantic puts the kind between the name and the key
        valid = tuple(SCENARIO_FIELDS[place[2]])
        place = (*place[:2], *place[3:])
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], valid, n=2)
        hint = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
        return f"{source}: unknown key '{key}'{hint}"
    if first["type"] == "missing":
        return f"{source}: the key '{key}' is missing"
    message = first["msg"].removeprefix("Value error, ")
    return f"{source}: {key} = {first['input']!r}: {message[0].lower()}{message[1:]}"


def explain_recipe(error: ValidationError, source: str) -> str:
    """One line for a recipe field that the command line set wrongly."""
    return _explain(error, source, ("recipe",))
