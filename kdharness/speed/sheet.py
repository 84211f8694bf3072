"""Findings as a file for others to load: one row per way of training, every number with its unit in its name."""

from __future__ import annotations

import csv
import io
import platform

import torch

from kdharness import __version__
from kdharness.speed.findings import STUDENT_ALONE, TEACHER_ALONE, Findings, Row, Spread
from kdharness.speed.random_images import evaluated_beside
from kdharness.speed.request import PLAIN
from kdharness.speed.stopwatch import PARTS

Value = str | int | float | bool | None


def as_csv(findings: Findings) -> str:
    """What was not measured is empty."""
    rows = [{**_of_row(findings, row), **_of_all(findings)} for row in findings.rows()]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["row"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _text(value: Value) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _spread(name: str, spread: Spread | None) -> dict[str, Value]:
    if spread is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: spread.median, f"{name}_low": spread.low, f"{name}_high": spread.high}


def _of_row(findings: Findings, row: Row) -> dict[str, Value]:
    request, plain = findings.request, row.kind == PLAIN
    counted = findings.counted(row)
    return {
        "row": row.kind,
        "methods": "|".join(row.methods),
        "cells": len(row.methods),
        "rounds": row.rounds,
        "precision": "fp32" if plain else request.setting.precision,
        "channels_last": False if plain else request.setting.channels_last,
        **_spread("images_per_second", findings.images_per_second(row)),
        "epoch_seconds": counted.median / len(row.methods),
        **_spread("cells_per_hour", findings.cells_per_hour(row)),
        **_spread("cpu_seconds", row.cpu),
        **_spread("wall_seconds", row.wall),
        "peak_memory_bytes": row.memory_bytes or None,
        "operations_per_step": row.operations,
        **{f"share_{part}": row.parts[part] for part in PARTS},
        **_spread("ratio_to_plain", row.to_plain),
        **_spread("ratio_to_solo", row.to_solo),
        "bound": row.bound,
        "share_of_bound": row.share_of_bound,
    }


def _of_all(findings: Findings) -> dict[str, Value]:
    request = findings.request
    return {
        "teacher_epoch_seconds": findings.alone(TEACHER_ALONE),
        "student_epoch_seconds": findings.alone(STUDENT_ALONE),
        "table_pictures": findings.pictures,
        "table_fill_seconds": findings.fill_seconds,
        "table_paid_after_epochs": findings.paid_after_epochs,
        "pair": request.pair,
        "images": request.images,
        "test_images": evaluated_beside(request.images),
        "batch_size": request.batch_size,
        "loaders": request.loaders,
        "extrapolated_epochs": request.epochs,
        "extrapolated_images": request.train_images,
        "device": request.device,
        "fingerprint": findings.where,
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
        "kdharness_version": __version__,
    }
