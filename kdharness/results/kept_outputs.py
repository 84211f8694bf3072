"""Where a results folder keeps what teachers say of pictures: it can be made again, and may be removed at any time."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KeptOutputs:
    """The view tables of a benchmark's folder."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "view_tables"

    def bytes_on_disk(self) -> int:
        """What they take: a file is as long as if it were full."""
        files = (path for path in self.path.rglob("*") if path.is_file())
        return sum(path.stat().st_blocks * 512 for path in files)

    def drop(self) -> None:
        if self.path.is_dir():
            shutil.rmtree(self.path)
