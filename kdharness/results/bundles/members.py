"""Which files of a results folder go into a bundle, and what they are called there."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdharness.results.contents import Contents
from kdharness.results.paths import MODEL_FILE
from kdharness.results.store import ResultsFolder

MANIFEST, ENVIRONMENT = "MANIFEST", "environment.json"

# All teachers' weights go along unless they are larger together; then they are to be asked for.
MOST_WEIGHTS_BYTES = 100 * 2**20

# A name is a benchmark's folder and what lies in it.
_OF_CELL = rf"cells/[^/]+/(record\.json|history\.csv|predictions\.npz|traceback\.txt|{re.escape(MODEL_FILE)})"
_TABLE = r"(results|metrics|leaderboard|claims|ablation|audit)\.csv"
NAMED = re.compile(rf"[^/]+/(plans/[^/]+\.json|{_OF_CELL}|{_TABLE})|{MANIFEST}|{re.escape(ENVIRONMENT)}")

# What a cell's record says of where it ran.
PLACES = ("kdharness_version", "torch_version", "device", "precision", "fingerprint")


@dataclass(frozen=True)
class Members:
    """files: by name in the bundle. environment: its text. weights: the files of weights, which go along or not.
    teaching: those of them that taught others. notes: what a user should know of what is packed, one line each.
    """

    files: Mapping[str, Path]
    environment: str
    weights: Mapping[str, Path]
    teaching: frozenset[str]
    notes: tuple[str, ...] = ()


def members_of(folders: Iterable[ResultsFolder]) -> Members:
    """Of benchmarks' folders, which have different names."""
    files: dict[str, Path] = {}
    weights: dict[str, Path] = {}
    teaching: set[str] = set()
    read = []
    for folder in folders:
        contents = folder.load()
        read.append(contents)
        files |= {f"{contents.name}/plans/{path.name}": path for path in folder.plans.paths()}
        files |= {f"{contents.name}/{path.name}": path for path in contents.tables.written()}
        required = {key for entry in contents.planned.values() for key in entry.cell.requires}
        for key in folder.cell_keys():
            for path in _of_cell(contents, key):
                name = f"{contents.name}/cells/{key}/{path.name}"
                (weights if path.name == MODEL_FILE else files)[name] = path
                if path.name == MODEL_FILE and key in required:
                    teaching.add(name)
    at_work = [each.path for each in read if each.progress]
    notes = tuple(f"a run is at work on {path}: what it finishes later is not packed" for path in at_work)
    return Members(files, environment_of(read), weights, frozenset(teaching), notes)


def chosen_weights(members: Members, wanted: bool | None) -> tuple[Mapping[str, Path], str]:
    """The files of weights that go along, and a line that says which. wanted: all of them or none; None for those that
    taught others, unless they are large.
    """
    if wanted is not None:
        chosen = members.weights if wanted else {}
    else:
        chosen = {name: path for name, path in members.weights.items() if name in members.teaching}
    size = sum(path.stat().st_size for path in chosen.values())
    if wanted is None and size > MOST_WEIGHTS_BYTES:
        return {}, f"without weights: those of {len(chosen)} teachers take {size / 1e6:.0f} MB; --weights packs them"
    if not chosen:
        return chosen, "without weights"
    cells = "1 cell" if len(chosen) == 1 else f"{len(chosen)} cells"
    return chosen, f"with the weights of {cells}, {size / 1e6:.1f} MB"


def _of_cell(contents: Contents, key: str) -> Iterator[Path]:
    """Of one that holds what private images taught, or of which nobody knows that, the record and the traceback alone.

    Its other files lie under `private/`, or beside its record where a former release put them.
    """
    files = contents.files_of(key)
    known = [each[key].cell for each in (contents.planned, contents.records) if key in each]
    is_open = bool(known) and not any(cell.sheltered or cell.saw_private for cell in known)
    found = [files.record, files.traceback]
    if is_open and not files.shelter.is_dir():
        found += [files.history, files.predictions, files.model]
    return (path for path in found if path.is_file() and not path.is_symlink())


def environment_of(read: Iterable[Contents]) -> str:
    """Where the numbers were made, as the records say: by each value of PLACES and each plugin, how many cells."""
    places: dict[str, Counter[str]] = {name: Counter() for name in PLACES}
    plugins: Counter[str] = Counter()
    for contents in read:
        for record in contents.records.values():
            for name, found in places.items():
                if value := record.values.get(name):
                    found[str(value)] += 1
            plugins.update(_plugins(record.cell.document))
    counted = {**places, "plugins": plugins}
    return json.dumps({k: dict(sorted(v.items())) for k, v in counted.items()}, indent=1, ensure_ascii=True) + "\n"


def _plugins(document: Mapping[str, Any]) -> Iterator[str]:
    """'method kd: kdharness, revision 1'."""
    parts = [(name, document.get(name)) for name in ("dataset", "method", "student")]
    parts += [("teacher", teacher) for teacher in document.get("teachers", ())]
    for kind, part in parts:
        if isinstance(part, Mapping) and isinstance(part.get("plugin"), Mapping):
            stamp = ", ".join(f"{k} {v}" for k, v in part["plugin"].items())
            yield f"{kind} {part.get('name')}: {stamp}"
