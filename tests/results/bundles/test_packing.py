"""What goes into a bundle: the same bytes each time, and nothing that is private."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.results.bundles import members
from kdharness.results.bundles.members import chosen_weights, members_of
from kdharness.results.bundles.packing import write_bundle
from kdharness.results.store import ResultsFolder


def pack(path: Path, out: Path, weights: bool | None = None) -> zipfile.ZipFile:
    found = members_of([ResultsFolder(path)])
    write_bundle(out, {**found.files, **chosen_weights(found, weights)[0]}, found.environment)
    return zipfile.ZipFile(out)


def test_it_has_what_a_reviewer_needs_with_the_digest_of_each(finished: Path, tmp_path: Path) -> None:
    with pack(finished, tmp_path / "a.zip") as archive:
        names = archive.namelist()
        lines = archive.read("MANIFEST").decode().splitlines()
        assert lines == sorted(lines, key=lambda line: line[66:])
        assert {line[66:]: line[:64] for line in lines} == {
            name: hashlib.sha256(archive.read(name)).hexdigest() for name in names if name != "MANIFEST"
        }
        environment = json.loads(archive.read("environment.json"))
    kinds = {"/".join(name.split("/")[1:2] + name.split("/")[3:]) for name in names if "/" in name}
    assert {"results.csv", "metrics.csv", "leaderboard.csv", "cells/record.json", "cells/history.csv"} <= kinds
    assert {"cells/predictions.npz", "cells/model.safetensors"} <= kinds
    assert list(environment["device"].items()) == [("cpu", 7)]
    assert environment["plugins"]["method kd: package kdharness, revision 1"] == 2


def test_the_bytes_depend_on_the_files_alone(finished: Path, results: Path, tmp_path: Path) -> None:
    for path in results.rglob("*"):
        path.touch()
    pack(finished, tmp_path / "a.zip").close()
    pack(results, tmp_path / "b.zip").close()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_nothing_private_is_packed_wherever_it_lies(results: Path, tmp_path: Path) -> None:
    """Of a cell that saw private images a former release kept the files beside the record."""
    folder = ResultsFolder(results)
    one, other, *_ = folder.records().values()
    (results / "private" / one.cell.key).mkdir(parents=True)
    (results / "private" / one.cell.key / "predictions.npz").write_bytes(b"secret")
    folder.write_record(replace(other, cell=replace(other.cell, sheltered=True)))
    with pack(results, tmp_path / "a.zip", weights=True) as archive:
        names = archive.namelist()
    assert not any("private" in name for name in names)
    for key in (one.cell.key, other.cell.key):
        assert [name for name in names if key in name] == [f"small/cells/{key}/record.json"]


def test_of_a_cell_of_which_nothing_is_known_the_record_alone_is_packed(results: Path, tmp_path: Path) -> None:
    key = next(iter(ResultsFolder(results).records()))
    stranger = results / "cells" / "stranger"
    shutil.copytree(results / "cells" / key, stranger)
    with pack(results, tmp_path / "a.zip", weights=True) as archive:
        assert [n for n in archive.namelist() if "stranger" in n] == ["small/cells/stranger/record.json"]


def test_weights_go_along_where_they_are_small_or_asked_for(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = members_of([ResultsFolder(finished)])
    assert len(found.weights) == 7
    assert len(chosen_weights(found, None)[0]) == len(found.teaching) == 1
    assert len(chosen_weights(found, True)[0]) == 7
    assert chosen_weights(found, False) == ({}, "without weights")
    monkeypatch.setattr(members, "MOST_WEIGHTS_BYTES", 10)
    kept, line = chosen_weights(found, None)
    assert kept == {}
    assert line.startswith("without weights: those of 1 teachers take")


def test_a_file_that_goes_away_leaves_no_bundle(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no bundle was written"):
        write_bundle(tmp_path / "a.zip", {"small/results.csv": finished / "nowhere"}, "{}")
    assert list(tmp_path.iterdir()) == []
