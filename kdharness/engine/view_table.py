"""View tables: what a teacher in eval mode makes of each picture of each image, kept on disk for all that read it.

A random crop and a flip have few pictures of an image (162 for a frame of four pixels), which come again over epochs,
seeds, methods and students. Design: a table is lent to a run only while it changes nothing. Its rows were made in
batches of the size that the run has, and batches of it are compared bit for bit with what the teacher says online
before the first of them is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from kdharness.data.sheet import Found, Numbers, Rows, Sheet
from kdharness.errors import UserError
from kdharness.planning.cell import digest
from kdharness.results.files import write_atomic

# The only outputs that are kept: maps would take hundreds of gigabytes.
LOGITS, EMBEDDING = "logits", "embedding"
KEPT = (LOGITS, EMBEDDING)
FACTS = "table.json"
CHECKS = "checks.json"

# Of the room on a disk, what tables leave to others.
LEFT_BYTES = 1 << 30


class ViewTable:
    """One teacher on one view, in batches of one size.

    folder: its files. facts: what it is of; its digest names the folder. total: how many pictures there are.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any], total: int) -> None:
        self.name = digest(facts)
        self.folder = root / self.name
        self.total = total
        self._facts = dict(facts)
        self._sheets: dict[str, Sheet] = {}
        self._widths: dict[str, int] = {}
        self._lines: list[str] = []
        self._harmed: set[str] = set()
        self._checks: dict[str, bool] = {}
        self._read_facts()

    # -- what is there ------------------------------------------------------------------------------------------------

    def has(self, output: str) -> bool:
        """Whether any row of it was ever written, by this process or another, and can be read."""
        if output not in self._widths:
            self._read_facts()
        try:
            return output in self._widths and self._sheet(output) is not None
        except OSError:  # a limit on files, a folder that nobody may write in
            return False

    def read(self, output: str, ids: Numbers) -> tuple[Rows, Found]:
        """Rows [n, width], and which of them are there."""
        sheet = self._sheet(output)
        values, found = sheet.read(ids)
        if sheet.damaged and output not in self._harmed:
            self._harmed.add(output)
            self._lines.append(f"rows of {sheet.path} are not what was written; they are made anew")
        return values, found

    def lacks(self, outputs: Sequence[str], ids: Numbers) -> Found:
        """Of which pictures an output was never written."""
        if not all(map(self.has, outputs)):
            return np.ones(len(ids), bool)
        written = [self._sheet(output).written(ids) for output in outputs]
        return np.asarray(~np.logical_and.reduce(written))

    def write(self, output: str, ids: Numbers, values: Rows) -> bool:
        """Puts rows down; whether there was room for them."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < values.nbytes + LEFT_BYTES:
                return False
            if self._widths.get(output) != values.shape[1]:
                self._sheets.pop(output, None)
                self._widths[output] = values.shape[1]
                self._write_facts()
            self._sheet(output).write(ids, values)
        except (OSError, UserError):  # a full disk, a limit of its own, a folder that nobody may write in
            return False
        return True

    def lines(self) -> list[str]:
        """What is to be said since the last call, a line each."""
        found, self._lines = self._lines, []
        return found

    # -- whether it may be used ---------------------------------------------------------------------------------------

    def check_of(self, size: int) -> bool | None:
        """Whether batches of this size equal what the teacher says online, bit for bit; None where nobody looked."""
        return self._checks.get(str(size))

    def note_checks(self, equal: Mapping[int, bool]) -> bool:
        """Keeps it, by size; whether there was room."""
        self._checks |= {str(size): value for size, value in equal.items()}
        told = {**_read_json(self.folder / CHECKS), **self._checks}
        try:
            write_atomic(self.folder / CHECKS, json.dumps(told).encode())
        except UserError:
            return False
        return True

    # -- files --------------------------------------------------------------------------------------------------------

    def _sheet(self, output: str) -> Sheet:
        if output not in self._sheets:
            sheet = Sheet(self.folder / f"{output}.f32", self.name, self.total, self._widths[output])
            if sheet.emptied:
                self._lines.append(f"{sheet.path} was cut or is of another size; it is made anew")
            self._sheets[output] = sheet
        return self._sheets[output]

    def _read_facts(self) -> None:
        said = _read_json(self.folder / FACTS)
        widths = said.get("widths", {}) if said.get("facts") == json.loads(json.dumps(self._facts)) else {}
        self._widths = {name: int(width) for name, width in widths.items() if name in KEPT}
        if self._widths:
            self._checks = {size: bool(equal) for size, equal in _read_json(self.folder / CHECKS).items()}

    def _write_facts(self) -> None:
        write_atomic(self.folder / FACTS, json.dumps({"facts": self._facts, "widths": self._widths}, indent=1).encode())


def _read_json(path: Path) -> dict[str, Any]:
    """{} for what is not there, or is none."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def rows_of(tensor: Tensor) -> Rows:
    """A tensor [n, width] as rows on the CPU, that nobody else holds."""
    return np.array(tensor.detach().float().cpu().numpy(), np.float32)
