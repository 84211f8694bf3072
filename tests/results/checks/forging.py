"""What somebody does who forges results: edits records and plans, and makes every digest and key anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kdharness.planning.cell import digest
from kdharness.results.checks.finding import Finding
from kdharness.results.checks.numbers import Evidence, Place
from kdharness.results.checks.verification import Verification, verify_folder
from kdharness.results.record import Record
from kdharness.results.seal import sealed
from kdharness.results.store import ResultsFolder
from kdharness.weights.digests import sha256_of

Data = dict[str, Any]


def no_torch(record: Record, evidence: Evidence) -> Mapping[Place, float]:
    """Where torch would be asked; here it knows nothing, so that what was summed stands."""
    return {}


def verified(path: Path) -> Verification:
    return verify_folder(ResultsFolder(path, lambda line: None), no_torch)


def findings(path: Path) -> list[Finding]:
    return verified(path).findings


def keys(path: Path, method: str, role: str = "student") -> list[str]:
    """Of cells in the order of their seeds."""
    cells = [record.cell for record in ResultsFolder(path).records().values()]
    return [c.key for c in sorted(cells, key=lambda c: c.seed) if (c.method, c.role) == (method, role)]


def read(path: Path, key: str) -> Data:
    data: Data = json.loads((path / "cells" / key / "record.json").read_text())
    return data


def write(path: Path, key: str, data: Data, seal: bool = True) -> None:
    text = sealed({k: v for k, v in data.items() if k != "digest"}) if seal else json.dumps(data)
    (path / "cells" / key / "record.json").write_text(text)


def edit(path: Path, key: str, change: Callable[[Data], object], seal: bool = True) -> None:
    data = read(path, key)
    change(data)
    write(path, key, data, seal)


def redigest(path: Path, key: str) -> None:
    """The record takes the files beside it for its own."""
    folder = path / "cells" / key
    edit(path, key, lambda d: d["files"].update({n: sha256_of(folder / n) for n in d["files"]}))


def reseal(path: Path, change: Callable[[Data], object]) -> None:
    """Of a plan."""
    data: Data = json.loads(path.read_text())
    change(data)
    path.write_text(sealed({k: v for k, v in data.items() if k != "digest"}))


def recast(path: Path, key: str, change: Callable[[Data], object]) -> str:
    """Changes a cell in its record and in all plans, with the key that its document then has; which that is."""
    record = read(path, key)
    change(record["cell"])
    record["cell"]["key"] = new = digest(record["cell"]["document"])
    if new != key:
        (path / "cells" / key).rename(path / "cells" / new)
    write(path, new, record)

    def replace(plan: Data) -> None:
        for entry in plan["cells"]:
            if entry["cell"]["key"] == key:
                entry["cell"] = record["cell"]

    for each in (path / "plans").iterdir():
        reseal(each, replace)
    return new
