"""What one cell left behind, whatever became of it, and the columns of results.csv."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from kdharness.planning.cell import Cell
from kdharness.planning.former import upgraded
from kdharness.planning.shapes import check_fields
from kdharness.results.paths import MODEL_FILE

# Raised when the form of a record's file changes; the one before is read too.
RECORD_SCHEMA = 2
RECORD_SCHEMAS = (1, RECORD_SCHEMA)


class Status(StrEnum):
    """What became of a planned cell."""

    OK = "ok"
    FAILED = "failed"
    OOM = "oom"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


# The columns of results.csv, in order; then come the x_ columns in name order.
COLUMNS = (
    "benchmark", "protocol", "deviations", "dataset", "scenario", "recipe", "seeding", "role", "method", "variant",
    "method_package", "method_revision", "parameters", "teacher", "student", "seed", "status", "error_type",
    "error_message", "selection", "top1", "top5", "nll", "ece", "top1_last10", "top1_test_oracle", "val_top1",
    "teacher_top1", "teacher_agreement", "epochs", "train_seconds", "shared_seconds", "alone_seconds",
    "chain_seconds", "group_size", "images_per_second", "peak_memory_bytes", "student_parameters", "student_macs",
    "device", "precision", "fingerprint", "cell", "teacher_cell", "teacher_digest", "source_cells", "kdharness_version",
    "torch_version", "started_at", "finished_at", "regime", "epsilon", "delta", "noise", "track",
    "seen_data",
)  # fmt: skip

# Columns that hold numbers of metrics; those of other metrics are x_ columns, whatever they are called.
METRIC_COLUMNS = ("top1", "top5", "nll", "ece", "teacher_agreement")

# Columns that a record's `values` may hold (all but those the cell and the status give).
VALUE_COLUMNS = (
    *COLUMNS[COLUMNS.index("selection") : COLUMNS.index("precision") + 1],
    "fingerprint", "teacher_digest", "kdharness_version", "torch_version",
)  # fmt: skip

INTEGER_COLUMNS = ("seed", "epochs", "group_size", "peak_memory_bytes", "student_parameters", "student_macs")
FLOAT_COLUMNS = (
    "top1", "top5", "nll", "ece", "top1_last10", "top1_test_oracle", "val_top1", "teacher_top1", "teacher_agreement",
    "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "images_per_second", "epsilon", "delta",
)  # fmt: skip
# Of these infinity is a value.
ENDLESS_COLUMNS = ("epsilon",)
NUMBER_COLUMNS = frozenset((*INTEGER_COLUMNS, *FLOAT_COLUMNS))


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One number of metrics.csv.

    predictor: the output that it is of.
    split: the split that it was measured on.
    metric: the number's name.
    value: the number.
    """

    predictor: str
    split: str
    metric: str
    value: float


@dataclass(frozen=True, slots=True)
class Record:
    """A cell's outcome.

    cell: the cell.
    status: what became of it.
    values: by column name of results.csv, x_ columns included; what was not measured is absent.
    metrics: rows of metrics.csv.
    error_type: class of the error; "" without one.
    error_message: on one line.
    traceback: "" unless the cell or a metric failed.
    started_at: ISO 8601 in UTC with seconds; "" when it never started.
    finished_at: likewise.
    attempts: how often the cell was handed out.
    measured: the metrics that were asked for and did not fail; () where that is not known.
    files: by name of each file beside the record, its SHA-256 when the cell ended.
    digest: of the record's own values, as its file holds it; "" for one that is not written, or is of a former release.
    sources: by key of a cell that it required, the SHA-256 of the weights that it had from it.
    """

    cell: Cell
    status: Status
    values: Mapping[str, Any] = field(default_factory=dict)
    metrics: Sequence[MetricRow] = ()
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    started_at: str = ""
    finished_at: str = ""
    attempts: int = 1
    measured: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    digest: str = field(default="", compare=False)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def weights(self) -> str:
        """The SHA-256 of the cell's weights; "" where none were kept."""
        return self.files.get(MODEL_FILE, "")

    def to_json(self) -> dict[str, Any]:
        """Plain data that shares its parts with the record."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "digest"}
        metrics = [asdict(row) for row in self.metrics]
        return {**own, "cell": self.cell.to_json(), "metrics": metrics, "schema": RECORD_SCHEMA}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], is_sealed: bool = False) -> Record:
        """ValueError when the data is of another schema version, lacks something or has other types. Its cell may be
        made already, and what was measured a tuple.

        is_sealed: its digest says that it is as it was written, so that types need no look: it takes as long as the
        rest of a large folder's reading.
        """
        if data.get("schema") not in RECORD_SCHEMAS:
            raise ValueError(f"schema version {data.get('schema')!r}, this release reads {RECORD_SCHEMA}")
        rest = {k: v for k, v in data.items() if k != "schema"}
        try:
            rest["cell"] = _cell(rest["cell"], is_former=data["schema"] != RECORD_SCHEMA)
            rest["status"] = Status(rest["status"])
            rest["metrics"] = tuple(MetricRow(**row) for row in rest["metrics"])
            rest["measured"] = tuple(rest.get("measured", ()))
            record = cls(**rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record: {error}") from None
        _check_values(record.values)
        if not is_sealed:
            check_fields(record)
        _check_metrics(record.metrics)
        return record


def _cell(data: Any, is_former: bool) -> Cell:
    if isinstance(data, Cell):
        return data
    return Cell.from_json(upgraded(data) if is_former else data)


def _check_values(values: Mapping[str, Any]) -> None:
    """ValueError for a value that no table can hold."""
    if not isinstance(values, Mapping):
        raise ValueError("'values' is not what it should be")
    for name, value in values.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        expected = is_number if name in NUMBER_COLUMNS else is_number or isinstance(value, str | bool)
        if not expected and value is not None:
            raise ValueError(f"the value of '{name}' is not what it should be")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the value of '{name}' is not finite")


def _check_metrics(metrics: Iterable[MetricRow]) -> None:
    """ValueError for a number that no record is written with."""
    for row in metrics:
        if not math.isfinite(row.value):
            raise ValueError(f"the metric '{row.metric}' is not finite")
