"""Numbers that others published: benchmarks/published/*.csv, one file per dataset."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import pandas as pd

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


def published_files() -> dict[str, Path]:
    """By dataset."""
    folder = Path(str(files("kdharness_benchmarks"))) / "published"
    return {path.stem: path for path in sorted(folder.glob("*.csv"))}


def published_numbers(datasets: Collection[str]) -> pd.DataFrame:
    """COLUMNS and `dataset`, of those datasets that have a file."""
    found = [_read(path).assign(dataset=name) for name, path in published_files().items() if name in datasets]
    empty = pd.DataFrame(columns=[*COLUMNS, "dataset"]).astype(dict.fromkeys(NUMBERS, float))
    return pd.concat(found, ignore_index=True) if found else empty


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    return frame.assign(**{name: pd.to_numeric(frame[name].replace("", None)) for name in NUMBERS})
