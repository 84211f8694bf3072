"""Numbers that others published: benchmarks/published/*.csv, one file per dataset."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import pandas as pd

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.text import plain

# method: its name here, several joined by "+"; "" for one that is not here. A network alone is "vanilla".
# printed: what the source calls it.
# teacher, student: names of models here, or what the source calls them; a network alone is a student without a teacher.
# top1, sd: percent. runs: how many; empty where the source does not say.
# rule: which epoch. "last", "best" (on test), "validation"; "" where the source does not say.
# kind: "own": by who printed it; "rerun": somebody's run of another's method; "listed": printed by who did not say that
#   they ran it, mostly copies.
# recipe: of benchmarks/recipes; "" for one that is not there.
# parameters: "pair" where some were chosen for each pair; "" for one setting.
# apart: what else differs there, in words.
# source, file: who, and where it is to be read.
COLUMNS = (
    "method", "printed", "teacher", "student", "top1", "sd", "runs", "rule", "kind", "recipe", "parameters", "apart",
    "source", "file",
)  # fmt: skip
NUMBERS = ("top1", "sd", "runs")
FIRST_HAND = ("own", "rerun")
# What stands in the columns that have few values.
WORDS = {
    "rule": ("last", "best", "validation", ""),
    "kind": (*FIRST_HAND, "listed"),
    "parameters": ("pair", ""),
}


def published_files() -> dict[str, Path]:
    """By dataset."""
    folder = Path(str(files("kdharness_benchmarks"))) / "published"
    return {path.stem: path for path in sorted(folder.glob("*.csv"))}


def published_numbers(datasets: Collection[str]) -> pd.DataFrame:
    """COLUMNS and `dataset`, of those datasets that have a file."""
    found = [read_published(path).assign(dataset=name) for name, path in published_files().items() if name in datasets]
    empty = pd.DataFrame(columns=[*COLUMNS, "dataset"]).astype(dict.fromkeys(NUMBERS, float))
    return pd.concat(found, ignore_index=True) if found else empty


def read_published(path: Path) -> pd.DataFrame:
    """One file. UserError that names the file and the line, for what is no such table."""
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", index_col=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {one_line(error)}") from None
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise UserError(f"{path}: there is no column '{missing[0]}'")
    for name in NUMBERS:
        frame[name] = _numbers(frame[name], path)
    for name, words in WORDS.items():
        _refuse(~frame[name].isin(words), frame[name], path, f"none of {', '.join(map(repr, words))}")
    return frame


def _numbers(texts: pd.Series[str], path: Path) -> pd.Series[float]:
    """Percent, and counts of runs. Only the accuracy must be there."""
    empty = texts == ""
    found = pd.to_numeric(texts.where(~empty), errors="coerce")
    most = float("inf") if texts.name == "runs" else 100.0
    bad = ~(found.between(0, most, inclusive="both") & (found < float("inf")))
    _refuse(bad if texts.name == "top1" else bad & ~empty, texts, path, "no number in range")
    return found


def _refuse(bad: pd.Series[bool], texts: pd.Series[str], path: Path, what: str) -> None:
    """UserError for the first line that is bad."""
    if bad.any():
        row = int(bad.to_numpy().argmax())
        # The header is line 1.
        raise UserError(plain(f"{path}, line {row + 2}: {texts.name} '{texts.iloc[row]}' is {what}"))
