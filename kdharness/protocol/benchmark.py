"""Benchmarks: protocols as TOML files, validated with the file, key, value and nearest name of what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kdharness.api.requirements import Pair
from kdharness.errors import UnknownName, UserError
from kdharness.protocol.claim import Claim
from kdharness.protocol.faults import explain
from kdharness.protocol.pair import parse_pair
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.recipe_files import with_recipe_file
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.seeds import Seed, parse_seeds
from kdharness.protocol.toml import read_toml
from kdharness.protocol.track import TrackChoice
from kdharness.protocol.variant import Layer, Variant, flattened
from kdharness.text import is_name, is_reference

# What the recipe of [recipe] is called, unless a benchmark says otherwise.
STANDARD = "standard"
# What each seed of a student draws anew beside itself.
TEACHER_SEEDS = ("single", "paired")
SCENARIO_SEEDS = ("fixed", "paired")

# What Windows takes for a device, with any suffix.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
NAME_RULE = "a name begins with a letter or digit and has letters, digits, '-', '_', '.', '+' and spaces, 100 at most"
_RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EvaluationRule(_Table):
    """When networks are measured.

    every: epochs between looks at the test split (0: the last ten epochs only).
    validation: share of what a student may see that is held out to choose the epoch by (0: the last epoch counts).
    """

    every: int = Field(0, ge=0)
    validation: float = Field(0.0, ge=0, lt=1)


class TeacherSpread(_Table):
    """How much of a result is the teacher's: the first student seed once more under each of several teachers.

    seeds: of the teachers.
    methods: which, as the benchmark has them; none for all that run.
    """

    seeds: Annotated[tuple[Seed, ...], BeforeValidator(parse_seeds)]
    methods: tuple[str, ...] = ()


class Benchmark(_Table):
    """A benchmark file.

    name: names the results' folder.
    summary: one line for listings.
    note: a sentence that reports show above the table.
    datasets: names.
    pairs: the models that meet.
    scenarios: names of what is done to the data.
    seeds: of students.
    teacher_seeds: "single" for one teacher for all student seeds, "paired" for one each, of the student's seed.
    teacher_seed: of the single teacher.
    scenario_seeds: "fixed" for one draw of a scenario, "paired" for one for each student seed.
    teacher_spread: which students are trained under several teachers; None for none.
    teacher_top1_floor: percent that a teacher from a file must reach; None for chance and a tenth of the rest.
    track: "default", "published" or "both": by which parameters methods run.
    run: names of methods, or "all".
    references: the methods that gains are measured against.
    metrics: names of those to compute, or "all".
    recipe: how networks are trained; in a file also the name of a recipe that comes with kdharness.
    recipe_name: what that recipe is called.
    recipes: further ones by name: the fields that differ, for students alone. One of `recipe_name` changes that.
    teacher: recipe fields that differ for teachers.
    models: by model name, recipe fields that differ for that network, and its parameters.
    methods: by method name, parameters that differ from its defaults; a table "pairs" in it holds those of pairs.
    dataset: by dataset name, its parameters.
    optimizers: by optimiser's name, its own parameters.
    scenario: definitions by name.
    evaluation: when networks are measured.
    variants: run beside the plain methods, where their method is selected.
    claims: answered by reports.
    """

    name: str
    summary: str = ""
    note: str = ""
    datasets: tuple[str, ...]
    pairs: tuple[Annotated[Pair, BeforeValidator(parse_pair)], ...]
    scenarios: tuple[str, ...] = ("clean",)
    seeds: Annotated[tuple[int, ...], BeforeValidator(parse_seeds)] = (0, 1, 2, 3, 4)
    teacher_seeds: Literal["single", "paired"] = "single"
    teacher_seed: Seed = 0
    scenario_seeds: Literal["fixed", "paired"] = "fixed"
    teacher_spread: TeacherSpread | None = None
    teacher_top1_floor: float | None = None
    track: TrackChoice = "default"
    run: tuple[str, ...] = ("all",)
    references: tuple[str, ...] = ("vanilla", "kd")
    metrics: tuple[str, ...] = ("all",)
    recipe: Recipe
    recipe_name: str = STANDARD
    recipes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    teacher: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    dataset: dict[str, dict[str, Any]] = Field(default_factory=dict)
    optimizers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scenario: dict[str, Annotated[Scenario, Field(discriminator="kind")]] = Field(default_factory=dict)
    evaluation: EvaluationRule = EvaluationRule()
    variants: tuple[Variant, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def place(self) -> str:
        """Where a name or value comes from that the command line did not give."""
        return f"benchmark '{self.name}'"

    @property
    def recipe_tables(self) -> dict[str, dict[str, Any]]:
        """By name of each recipe, the usual one first, the fields that differ for students."""
        return {self.recipe_name: {}, **self.recipes}

    @property
    def layers(self) -> dict[str, dict[Pair | None, Layer]]:
        """What is said of each method: by pair, and for all other pairs under None."""
        found: dict[str, dict[Pair | None, Layer]] = {}
        for method, whole in self.methods.items():
            table = flattened(method, {key: value for key, value in whole.items() if key != "pairs"})
            tables: dict[Pair | None, dict[str, Any]] = {None: table}
            of_pairs = {parse_pair(key): flattened(method, values) for key, values in whole.get("pairs", {}).items()}
            tables.update({pair: {**table, **values} for pair, values in of_pairs.items()})
            found[method] = {pair: Layer.of(each, self.place) for pair, each in tables.items()}
        return found


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
        raise UnknownName("benchmark", name, available(), "give a name or a path to a .toml file")
    elif (own := path.stem.replace("_", "-")) in available() and not path.exists():
        raise UserError(f"there is no benchmark file {name}; the benchmark that comes with kdharness is '{own}'")
    content = read_toml(path, "benchmark file")
    content.setdefault("name", path.stem.replace("_", "-"))
    return parse(content, str(path))


def parse(content: Mapping[str, Any], source: str) -> Benchmark:
    """A benchmark from a parsed TOML document. UserError names source, key, value and the nearest valid key."""
    try:
        benchmark = Benchmark.model_validate(with_recipe_file(content, source))
    except ValidationError as error:
        raise UserError(explain(error, Benchmark, source)) from None
    for axis in ("datasets", "pairs", "scenarios"):
        if not getattr(benchmark, axis):
            raise UserError(f"{source}: '{axis}' is empty, so there is nothing to run")
    _check_pair_tables(benchmark, source)
    _check_names(benchmark, source)
    for name in benchmark.recipe_tables:
        if not _RECIPE_NAME.match(name):
            raise UserError(f"{source}: recipe '{name}': a name is of letters, digits, '-', '_' and '.'")
    of_models = [(f"models.{name}", table) for name, table in benchmark.models.items()]
    of_recipes = [(f"recipes.{name}", table) for name, table in benchmark.recipes.items()]
    for table, changes in [("teacher", benchmark.teacher), *of_recipes, *of_models]:
        # Beside recipe fields a model's table has parameters, which only those know who know what is installed.
        is_model = table.startswith("models.")
        fields = {k: v for k, v in changes.items() if k in Recipe.model_fields} if is_model else changes
        try:
            benchmark.recipe.replaced(fields)
        except ValidationError as error:
            raise UserError(explain(error, Recipe, source, (table,))) from None
    return benchmark


def _check_names(benchmark: Benchmark, source: str) -> None:
    """UserError for a name that no file or column can have: results lie in a folder of the benchmark's name."""
    if not is_name(benchmark.name) or benchmark.name.partition(".")[0].lower() in _DEVICES:
        raise UserError(f"{source}: name = {benchmark.name[:80]!r} cannot be a folder's name; {NAME_RULE}")
    for name in (*benchmark.scenario, *benchmark.scenarios):
        if not is_name(name):
            raise UserError(f"{source}: scenario {name[:80]!r}: {NAME_RULE}")
    for key, name in _references(benchmark):
        if not is_reference(name):
            raise UserError(f"{source}: {key} {name[:80]!r}: {NAME_RULE}; 'package/name' names a package's")
    for key, text in _texts(benchmark):
        if not text.isprintable():
            raise UserError(f"{source}: {key} = {text[:80]!r} holds what cannot be printed: it becomes part of names")


def _references(benchmark: Benchmark) -> Iterator[tuple[str, str]]:
    """What is called by a name, and the name."""
    lists = ("datasets", "run", "references", "metrics")
    tables = ("models", "methods", "dataset", "optimizers")
    for key in lists:
        yield from ((key, name) for name in getattr(benchmark, key))
    for key in tables:
        yield from ((f"table {key}.", name) for name in getattr(benchmark, key))
    yield from (("pairs: model", name) for pair in benchmark.pairs for name in (*pair.teachers, pair.student))
    for variant in benchmark.variants:
        yield "variants.method", variant.method
        yield from (("variants.parameters", name) for name in variant.parameters)
        yield from (("variants.without", name) for name in variant.without)
    for method, table in benchmark.methods.items():
        yield from ((f"methods.{method}", name) for name in table)


def _texts(benchmark: Benchmark) -> Iterator[tuple[str, str]]:
    """The texts among parameters, which the names of variants and deviations are made of."""
    for number, variant in enumerate(benchmark.variants, 1):
        yield from ((f"variant {number}", text) for text in _texts_in(variant.parameters))
    for key in ("models", "methods", "dataset", "optimizers"):
        yield from ((key, text) for text in _texts_in(getattr(benchmark, key)))


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for each in inner:
        yield from _texts_in(each)


def _check_pair_tables(benchmark: Benchmark, source: str) -> None:
    """UserError where a method's parameters by pair are not of that form."""
    for method, table in benchmark.methods.items():
        by_pair = table.get("pairs", {})
        if not isinstance(by_pair, dict) or not all(isinstance(values, dict) for values in by_pair.values()):
            raise UserError(f"{source}: methods.{method}.pairs holds no tables of parameters by pair")
        for pair in by_pair:
            try:
                parse_pair(pair)
            except ValueError as error:
                raise UserError(f"{source}: methods.{method}.pairs: {error}") from None
