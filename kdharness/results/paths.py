"""Where a results folder keeps a cell's files and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

MODEL_FILE = "model.safetensors"
PRIVATE = "private"
AUDIT = "audit"


@dataclass(frozen=True)
class CellFiles:
    """The files of one cell, in a folder of its own. One that saw private images keeps what it learned in another, its
    shelter; where that is there, its files are there.
    """

    folder: Path

    @property
    def shelter(self) -> Path:
        return self.folder.parent.parent / PRIVATE / self.folder.name

    def _kept_apart(self, name: str) -> Path:
        return (self.shelter if self.shelter.is_dir() else self.folder) / name

    @property
    def record(self) -> Path:
        return self.folder / "record.json"

    def former_record(self) -> Path:
        """Where the next record that is set aside goes."""
        return next(p for n in count(1) if not (p := self.folder / f"record.{n}.json").exists())

    @property
    def traceback(self) -> Path:
        """Where the cell failed, as text for people."""
        return self.folder / "traceback.txt"

    @property
    def history(self) -> Path:
        return self._kept_apart("history.csv")

    @property
    def model(self) -> Path:
        return self._kept_apart(MODEL_FILE)

    @property
    def predictions(self) -> Path:
        return self._kept_apart("predictions.npz")

    @property
    def checkpoint(self) -> Path:
        return self._kept_apart("checkpoint")

    @property
    def audit(self) -> Path:
        """What an attacker of the cell would look at, image by image."""
        return self.shelter.parent / AUDIT / self.folder.name / "audit.npz"

    @property
    def begun(self) -> Path:
        """How often each epoch was begun, of a cell with secret noise; it stays when the cell is trained again."""
        return self.folder / "begun.json"

    @property
    def sensitive(self) -> tuple[Path, ...]:
        """What tells of the images that the cell was trained on."""
        return self.history, self.model, self.predictions, self.checkpoint

    @property
    def kept(self) -> tuple[Path, ...]:
        """What stays beside a finished cell's record, where it is there."""
        return self.history, self.model, self.predictions, self.traceback, self.audit


@dataclass(frozen=True)
class TableFiles:
    """The tables beside the cells; claims, ablation and audit only where there are any."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results.csv"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.csv"

    @property
    def leaderboard(self) -> Path:
        return self.folder / "leaderboard.csv"

    @property
    def claims(self) -> Path:
        return self.folder / "claims.csv"

    @property
    def ablation(self) -> Path:
        return self.folder / "ablation.csv"

    @property
    def audit(self) -> Path:
        return self.folder / "audit.csv"

    @property
    def always(self) -> tuple[Path, ...]:
        """Those that every folder has, however little they hold."""
        return self.results, self.metrics, self.leaderboard

    def written(self) -> tuple[Path, ...]:
        """The files that are there."""
        paths = (*self.always, self.claims, self.ablation, self.audit)
        return tuple(path for path in paths if path.is_file())
