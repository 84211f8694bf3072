"""What a document decides of its record beside the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from forging import Data, edit, findings, keys, read, recast, redigest

from kdharness.results.checks.finding import Finding, Kind


def said(path: Path, key: str) -> list[str]:
    return [found.what for found in findings(path) if found.where == f"cells/{key}/record.json"]


@pytest.mark.parametrize(
    ("name", "value", "true"), [("selection", "validation", "last"), ("precision", "bf16", "fp32")]
)
def test_the_epoch_that_counts_and_the_precision_are_the_documents(
    results: Path, name: str, value: str, true: str
) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["values"].update({name: value}))
    assert said(results, key) == [f"{name} is {value}, its document says {true}"]


def test_a_validation_curve_chooses_no_epoch_where_there_is_no_split(results: Path) -> None:
    key = keys(results, "kd")[0]
    path = results / "cells" / key / "history.csv"
    path.write_text(path.read_text() + "1,validation,other,top1,99.0\n")
    redigest(results, key)
    assert said(results, key) == ["history.csv has a validation split, and its document keeps none"]


@pytest.mark.parametrize("name", ["predictions.npz", "history.csv"])
def test_an_ok_record_without_files_to_count_from_is_named(results: Path, name: str) -> None:
    key = keys(results, "kd")[0]
    (results / "cells" / key / name).unlink()
    edit(results, key, lambda d: d["files"].pop(name))
    what = f"kd conv32:conv16 digits few100 seed 0: ok without a {name}, which such cells leave, to count from"
    assert Finding(Kind.DOUBT, f"cells/{key}/record.json", what) in findings(results)


def test_a_failure_that_is_called_skipped(results: Path) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d.update(status="skipped", values={}, metrics=[], measured=[]))
    assert said(results, key) == ["no run writes a record that is skipped"]


def longer(path: Path, key: str, epochs: int) -> None:
    """As if so many had been trained, under the recipe of ten."""
    history = path / "cells" / key / "history.csv"
    first, *rows = history.read_text().splitlines()
    moved = [f"{int(row.split(',', 1)[0]) + epochs - 10},{row.split(',', 1)[1]}" for row in rows]
    history.write_text("\n".join([first, *moved]) + "\n")
    edit(path, key, lambda d: d["values"].update(epochs=epochs))
    edit(path, key, lambda d: d["values"].pop("top1_test_oracle", None))
    redigest(path, key)


def test_a_training_that_is_longer_than_its_recipe_is_a_doubt(results: Path) -> None:
    own = keys(results, "kd")
    for key in own:
        longer(results, key, 20)
    what = "kd was trained for 20 epochs, its recipe says 10, and none of its parameters says why (2 cells)"
    assert findings(results) == [Finding(Kind.DOUBT, f"cells/{min(own)}/record.json", what)]


def test_a_parameter_may_say_that_a_training_is_longer(results: Path) -> None:
    def lengthen(cell: Data) -> None:
        cell["parameters"]["length"] = cell["document"]["method"]["parameters"]["length"] = 2.0
        cell["variant"] = "length=2"

    for key in keys(results, "vanilla"):
        longer(results, recast(results, key, lengthen), 20)
    assert findings(results) == []
    assert read(results, keys(results, "vanilla")[0])["values"]["epochs"] == 20
