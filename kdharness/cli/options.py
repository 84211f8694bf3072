"""Options that several verbs take, and what they mean."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from platformdirs import user_data_path

from kdharness.device.names import OPTION_HELP, WORKERS_HELP
from kdharness.errors import UnknownName, UserError
from kdharness.execution.rerun import Rerun
from kdharness.text import printable, words
from kdharness.weights.choice import split_choice

Choice = TypeVar("Choice", bound=StrEnum)


def one_of(kind: type[Choice], option: str, what: str = "value") -> Callable[[str], Choice]:
    """Reads what an option may be. UserError with the nearest of them for any other text."""

    def parse(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise UnknownName(what, text, [each.value for each in kind], option) from None

    return parse


def format_option(kind: type[StrEnum]) -> Any:
    """The option --format of a verb that writes in any of these."""
    return typer.Option(
        "--format",
        parser=one_of(kind, "--format", "format"),
        metavar=f"[{'|'.join(kind)}]",
        help="How it is written.",
    )


BenchmarkArgument = Annotated[
    str, typer.Argument(metavar="BENCHMARK", help="A benchmark's name, or a path to a .toml file.")
]
Methods = Annotated[str | None, typer.Option(help="Methods to run: all, or names a,b; a+b trains both as one.")]
Skip = Annotated[str | None, typer.Option(help="Methods to leave out: c,d.")]
Datasets = Annotated[str | None, typer.Option(help="Datasets instead of the benchmark's.")]
Pairs = Annotated[str | None, typer.Option(help="Pairs instead of the benchmark's: teacher:student,t1+t2:student.")]
Seeds = Annotated[str | None, typer.Option(help="Seeds: 0-4 (inclusive) or 0,3.")]
Scenarios = Annotated[str | None, typer.Option(help="Scenarios: clean,noise40,few100,...")]
Recipe = Annotated[
    str, typer.Option(metavar="NAME", help="A published recipe instead of the benchmark's: crd240, mlkd480, ...")
]
Recipes = Annotated[str | None, typer.Option(help="Recipes of the benchmark: a,b.")]
TeacherSeeds = Annotated[
    str | None, typer.Option(metavar="[single|paired]", help="One teacher for all seeds, or one for each.")
]
ScenarioSeeds = Annotated[
    str | None,
    typer.Option(metavar="[fixed|paired]", help="One draw of a scenario's labels and splits, or one for each seed."),
]
Track = Annotated[
    str | None,
    typer.Option(
        metavar="[default|published|both]",
        help="Methods by one setting for all pairs, or by what their authors published for each; never in one ranking.",
    ),
]
TeacherSpread = Annotated[
    str | None,
    typer.Option(
        metavar="SEEDS",
        help="Also train the first seed's students under teachers of these seeds, to see how much is the teacher's.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="method.parameter=value, and so of datasets, models, optimizers; recipe.field=value, student.field=value.",
    ),
]
TeacherOutputs = Annotated[
    str | None,
    typer.Option(
        metavar="[auto|online|table]",
        help="auto: keep what teachers say where it pays and changes no number; online: run them for every batch; "
        "table: by rows of a table, a recipe of its own.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(help="Epochs for teachers and students; a deviation from the benchmark.", min=1)
]
Device = Annotated[str, typer.Option(help=OPTION_HELP)]
Workers = Annotated[int | None, typer.Option(help=WORKERS_HELP, min=1, max=1024)]
ExecutorName = Annotated[str, typer.Option("--executor", help="Where groups run: local, inline, or a plugin's.")]
Teachers = Annotated[
    list[str] | None,
    typer.Option("--teacher", help="A teacher's weights: FILE or model=FILE; FILE#KEY for one of several in it."),
]
TeacherTop1 = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher-top1",
        metavar="[published|MODEL=PERCENT]",
        help="What a --teacher file must reach on test, within 0.3 points: its published accuracy, or this one.",
    ),
]
Data = Annotated[Path | None, typer.Option(help="The folder with datasets; default KDHARNESS_DATA.")]
Download = Annotated[bool, typer.Option("--download", help="Allow datasets to be downloaded.")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="A Python file with plugin hooks.")]
Out = Annotated[Path, typer.Option(help="The root of the results.")]
Log = Annotated[
    str | None,
    typer.Option(metavar="LOGGERS", help="Loggers that hear of the run: jsonl, tensorboard, wandb, or plugins'."),
]
LEAST_TIMEOUT = 0.001
Timeout = Annotated[float | None, typer.Option(help="Limit on one cell's own training time, in seconds.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and why cells will not run; train nothing.")]
RerunOption = Annotated[
    Rerun | None,
    typer.Option(
        parser=one_of(Rerun, "--rerun"),
        metavar="[failed|all]",
        help="failed: run failed, oom and timeout cells again; all: run everything again.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]


@dataclass(frozen=True)
class RunOptions:
    """What `run` and `ablate` are told: every field is an option of theirs."""

    methods: Methods = None
    skip: Skip = None
    datasets: Datasets = None
    pairs: Pairs = None
    seeds: Seeds = None
    teacher_seeds: TeacherSeeds = None
    scenario_seeds: ScenarioSeeds = None
    teacher_spread: TeacherSpread = None
    track: Track = None
    scenarios: Scenarios = None
    recipe: Recipe = ""
    recipes: Recipes = None
    settings: Settings = None
    teacher_outputs: TeacherOutputs = None
    epochs: Epochs = None
    device: Device = "auto"
    workers: Workers = None
    executor: ExecutorName = "local"
    teacher: Teachers = None
    teacher_top1: TeacherTop1 = None
    data: Data = None
    download: Download = False
    plugin: Plugins = None
    out: Out = Path("results")
    log: Log = None
    timeout: Timeout = None
    dry_run: DryRun = False
    rerun: RerunOption = None
    yes: Yes = False


def with_run_options(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb as the command line sees it: its own arguments, then RunOptions' fields, which it gets as `options`."""
    hints = get_type_hints(RunOptions, include_extras=True)
    own = [p for p in inspect.signature(verb, eval_str=True).parameters.values() if p.name != "options"]
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=f.default, annotation=hints[f.name])
        for f in fields(RunOptions)
    ]

    def command(**values: Any) -> None:
        options = RunOptions(**{f.name: values.pop(f.name) for f in fields(RunOptions)})
        verb(**values, options=options)

    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    command.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    return command


def listed(text: str | None) -> tuple[str, ...] | None:
    """The comma-separated words of an option, or None when it was not given."""
    return None if text is None else words(text)


def check_timeout(seconds: float | None) -> None:
    """UserError for a limit that no cell could keep, and for nan, which the parsers of some releases let pass."""
    if seconds is not None and not seconds >= LEAST_TIMEOUT:
        raise UserError(f"--timeout must be a number of seconds from {LEAST_TIMEOUT:g} on, not {seconds:g}")


def data_root(given: Path | None) -> Path:
    """--data, else KDHARNESS_DATA, else the user's data folder."""
    return given or Path(os.environ.get("KDHARNESS_DATA") or user_data_path("kdharness"))


WEIGHTS_SUFFIXES = (".safetensors", ".pt", ".pth", ".tar", ".bin", ".ckpt")

# Options that take several values, and which words are further values of theirs rather than arguments.
SEVERAL: dict[str, Callable[[str], bool]] = {
    "--set": lambda word: "=" in word,
    "--teacher": lambda word: "=" in word or split_choice(word)[0].suffix in WEIGHTS_SUFFIXES,
    "--plugin": lambda word: word.endswith(".py"),
}


# Of these an empty value would be the folder that one is in.
PATHS = ("--out", "--data", "--teacher", "--plugin", "--to")
NO_PATH = tuple(f"{option}=" for option in PATHS)


def spread(arguments: list[str]) -> list[str]:
    """`--set a.b=1 c.d=2` as `--set a.b=1 --set c.d=2`, and likewise for --teacher and --plugin.

    UserError for an empty path.
    """
    found: list[str] = []
    option, is_first = "", True
    for word in arguments:
        if word in NO_PATH or (option in PATHS and is_first and not word):
            raise UserError(f"{word.removesuffix('=') or option}: no path is given")
        if word.startswith("-"):
            option, is_first = word, True
        else:
            if not is_first and option in SEVERAL and SEVERAL[option](word):
                found.append(option)
            is_first = False
        found.append(word)
    return found


def warn(message: str) -> None:
    """One line on stderr."""
    print(printable(f"warning: {message}"), file=sys.stderr)
