"""What a bench is asked to measure. It loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdharness.errors import UnknownName, UserError
from kdharness.protocol.pair import parse_pair

# Kinds of rows: a usual loop; the engine with one cell, or all of them, at a time; all of those that a table serves.
PLAIN, SOLO, GROUP, TABLE = ROWS = ("plain", "solo", "group", "table")

PRECISIONS = ("fp32", "tf32", "bf16")
LAYOUTS = (False, True)


@dataclass(frozen=True)
class Setting:
    """How networks compute.

    precision: as in a recipe. channels_last: likewise.
    """

    precision: str = "fp32"
    channels_last: bool = False

    def __str__(self) -> str:
        return f"{self.precision} channels_last" if self.channels_last else self.precision

    @property
    def recipe(self) -> Mapping[str, Any]:
        """As fields of a recipe."""
        return {"precision": self.precision, "channels_last": self.channels_last}

    @property
    def options(self) -> str:
        """As a command line says it."""
        layout = "recipe.channels_last=true" if self.channels_last else ""
        precision = "" if self.precision == "fp32" else f"recipe.precision={self.precision}"
        return f"--set {' '.join(filter(None, (precision, layout)))}"


@dataclass(frozen=True)
class BenchRequest:
    """What to measure, and on what.

    pair: "teacher:student". methods: names. rows: of ROWS.
    images: of the training split. batch_size: as in a recipe. repeats: rounds that count.
    device: as torch names it. setting: of the engine's rows; the usual loop is in fp32 and channels first.
    loaders: processes that make the usual loop's pictures.
    epochs, train_images: of the training that cells per hour are extrapolated to.
    plugin_files: of --plugin.
    """

    pair: str
    methods: tuple[str, ...]
    rows: tuple[str, ...] = ROWS
    images: int = 256
    batch_size: int = 64
    repeats: int = 3
    device: str = "cpu"
    setting: Setting = Setting()
    loaders: int = 2
    epochs: int = 240
    train_images: int = 50_000
    plugin_files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise UnknownName("row", row, ROWS, "--rows")
        if not self.rows:
            raise UserError("--rows: none is given")
        if not self.methods:
            raise UserError("--methods: none is given")
        if self.setting.precision not in PRECISIONS:
            raise UnknownName("precision", self.setting.precision, PRECISIONS, "--precision")
        if self.batch_size > self.images:
            raise UserError(f"--batch-size {self.batch_size}: there are {self.images} images (--images)")
        self._check_pair()

    def _check_pair(self) -> None:
        try:
            pair = parse_pair(self.pair)
        except ValueError as error:
            raise UserError(f"pair {error}") from None
        if len(pair.teachers) > 1:
            raise UserError(f"pair '{self.pair}': speed is measured with one teacher")
