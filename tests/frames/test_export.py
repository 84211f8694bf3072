"""`kdharness results export`: the frames as files."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import fabricate
import pandas as pd
import pytest

import kdharness
from kdharness.cli.main import execute
from kdharness.frames.export import ADVICE, Format, export
from kdharness.results.history import write_history

NAMES = ("cells", "metrics", "history", "leaderboard", "claims", "columns")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = fabricate.tiny_world(tmp_path).load()
    first = next(iter(folder.current))
    write_history(folder.files_of(first).history, [(1, "train", "", "=ce", 2.5)])
    return tmp_path / "tiny"


def test_csv_files_of_all_frames(world, tmp_path, capsys):
    out = tmp_path / "tables"
    assert execute(["results", "export", str(world), "--out", str(out)]) == 0
    assert capsys.readouterr().err.splitlines() == [f"wrote {out / name}.csv" for name in NAMES]
    results = kdharness.load(world)
    assert len(pd.read_csv(out / "cells.csv")) == len(results.cells)
    assert (out / "history.csv").read_text().splitlines()[1].endswith(",1,train,,'=ce,2.5")  # no formula
    said = pd.read_csv(out / "columns.csv", keep_default_na=False)
    assert said[said["name"] == "top1"].iloc[0][["table", "dtype", "unit"]].tolist() == ["cells", "float64", "%"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export"], "kdharness results export: --out FOLDER says where to"),
        (["export", "--out", "x", "--yes"], "--yes and --damaged are of 'kdharness results prune'"),
        (["export", "--out", "x", "--format", "parqet"], "unknown format 'parqet' (--format); did you mean 'parquet'?"),
        (["prune", "--out", "x"], "--out and --format are of 'kdharness results export'"),
        (["exprt"], "unknown action 'exprt' (kdharness results); did you mean 'export'?"),
    ],
)
def test_what_export_does_not_understand(world, capsys, arguments, message):
    assert execute(["results", arguments[0], str(world), *arguments[1:]]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(world, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert execute(["results", "export", str(world), "--out", str(tmp_path / "file")]) == 2
    assert "error: could not write" in capsys.readouterr().err


def test_without_pyarrow_it_says_how_to_get_it(world, tmp_path, capsys, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else found(name, *a))
    arguments = ["results", "export", str(world), "--out", str(tmp_path / "out"), "--format", "parquet"]
    assert execute(arguments) == 2
    assert capsys.readouterr().err == f"error: {ADVICE}\n"
    assert not (tmp_path / "out").exists()


def test_parquet_keeps_dtypes(world, tmp_path):
    pytest.importorskip("pyarrow")
    results = kdharness.load(world)
    export(results, tmp_path / "out", Format.PARQUET)
    for name, frame in results.frames.items():
        read = pd.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert list(read.columns) == list(frame.columns)
        for column in frame:
            wanted = str(frame[column].dtype)
            assert str(read[column].dtype) in ((wanted, "str") if wanted == "object" else (wanted,)), column
            assert read[column].isna().tolist() == frame[column].isna().tolist()
        assert read["cell" if "cell" in frame else "dataset"].tolist() == list(
            frame["cell" if "cell" in frame else "dataset"]
        )


def test_export_shows_what_it_cannot_use_as_warnings(world, tmp_path, monkeypatch):
    folder = kdharness.load(world).folders[0]
    folder.files_of(list(folder.current)[1]).history.write_text("no history")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert execute(["results", "export", str(world), "--out", str(tmp_path / "out")]) == 0
    assert ["history.csv is left out" in str(each.message) for each in said] == [True]
