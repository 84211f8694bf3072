"""Records, plans and the files beside records show whether they are as they were written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.results.record import Record, Status
from kdharness.results.seal import altered, digest_of
from kdharness.results.store import ResultsFolder


def written(path: Path, status: Status = Status.OK) -> tuple[ResultsFolder, Record, list[str]]:
    warnings: list[str] = []
    folder = ResultsFolder(path / "tiny", warnings.append)
    record = fabricate.record(fabricate.cell(), 91.0 if status is Status.OK else None, status)
    files = folder.cell(record.cell.key)
    files.folder.mkdir(parents=True)
    files.history.write_text("epoch,split,predictor,metric,value\n")
    files.predictions.write_bytes(b"logits")
    folder.write_record(record)
    return folder, record, warnings


def edit(path: Path, change: Any, indent: int | None = None) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=indent))


def test_the_digest_is_of_all_values_sorted_without_spaces() -> None:
    expected = hashlib.sha256(b'{"a":[1,2.5],"b":"x"}').hexdigest()
    assert digest_of({"b": "x", "digest": "of before", "a": [1, 2.5]}) == expected


def test_a_finished_record_names_the_digest_of_each_file(tmp_path: Path) -> None:
    folder, record, _ = written(tmp_path)
    read = folder.read_record(record.cell.key)
    assert read is not None
    assert read.files == {
        "history.csv": hashlib.sha256(b"epoch,split,predictor,metric,value\n").hexdigest(),
        "predictions.npz": hashlib.sha256(b"logits").hexdigest(),
    }
    assert len(read.digest) == 64


def test_a_failed_record_has_the_digest_of_its_traceback(tmp_path: Path) -> None:
    folder, record, _ = written(tmp_path, Status.FAILED)
    read = folder.read_record(record.cell.key)
    assert read is not None
    assert read.files["traceback.txt"] == hashlib.sha256(b"Traceback ...").hexdigest()


def test_a_cell_at_work_has_no_digests_of_files(tmp_path: Path) -> None:
    folder, record, _ = written(tmp_path, Status.INTERRUPTED)
    read = folder.read_record(record.cell.key)
    assert read is not None
    assert read.files == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["values"].update(top1=99.9),
        lambda data: data["metrics"][0].update(value=99.9),
        lambda data: data.update(status="failed"),
        lambda data: data["cell"].update(seed=7),
        lambda data: data["files"].update({"model.safetensors": "0" * 64}),
        lambda data: data.update(digest="0" * 64),
        lambda data: data.update(digest=3),
        lambda data: data["values"].update(x_note="added"),
    ],
)
def test_an_edited_record_is_named_and_counts_as_absent(tmp_path: Path, change: Any) -> None:
    folder, record, warnings = written(tmp_path)
    path = folder.cell(record.cell.key).record
    edit(path, change)
    assert folder.records() == {}
    (warning,) = warnings
    assert str(path) in warning
    assert "do not match its digest" in warning


def test_another_order_and_spacing_is_no_edit(tmp_path: Path) -> None:
    folder, record, warnings = written(tmp_path)
    path = folder.cell(record.cell.key).record
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items())), indent=4))
    assert folder.read_record(record.cell.key) == record
    assert warnings == []


def test_a_record_of_a_former_release_has_no_digest(tmp_path: Path) -> None:
    folder, record, warnings = written(tmp_path)
    edit(folder.cell(record.cell.key).record, lambda data: (data.pop("digest"), data.pop("files")))
    read = folder.read_record(record.cell.key)
    assert read == record
    assert read is not None
    assert (read.digest, read.files) == ("", {})
    assert warnings == []


def test_a_file_that_was_replaced_is_found_and_one_that_was_deleted_is_not(tmp_path: Path) -> None:
    folder, record, _ = written(tmp_path)
    files = folder.cell(record.cell.key)
    read = folder.read_record(record.cell.key)
    assert read is not None
    assert altered(files, read.files) == []
    files.predictions.write_bytes(b"better")
    files.history.unlink()
    assert altered(files, read.files) == [files.predictions]


def test_the_file_is_the_text_that_its_digest_is_of(tmp_path: Path) -> None:
    """So that a large folder's files are checked without being written out again."""
    folder, record, _ = written(tmp_path)
    text = folder.cell(record.cell.key).record.read_text()
    digest = json.loads(text)["digest"]
    begins = f'{{"digest":"{digest}",'
    assert text.startswith(begins)
    assert hashlib.sha256(f"{{{text.removeprefix(begins)}".encode()).hexdigest() == digest


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["cells"][0].update(skip="not today"),
        lambda data: data["cells"][0]["cell"].update(seed=7),
        lambda data: data.update(references=["kd"]),
        lambda data: data.update(digest="0" * 64),
        lambda data: data["cells"].pop(),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_an_edited_plan_is_named_and_not_obeyed(tmp_path: Path, change: Any, indent: int | None) -> None:
    warnings: list[str] = []
    folder = ResultsFolder(tmp_path / "tiny", warnings.append)
    kept, edited = fabricate.cell("kd"), fabricate.cell("fitnets")
    folder.plans.write(fabricate.plan([kept]))
    path = folder.plans.write(fabricate.plan([edited]))
    edit(path, lambda data: None)
    assert [set(folder.load().planned), warnings] == [{kept.key, edited.key}, []]
    edit(path, change, indent)
    assert set(folder.load().planned) == {kept.key}
    (warning,) = warnings
    assert str(path) in warning
    assert "do not match its digest" in warning


def test_a_plan_beside_one_that_was_edited_is_kept(tmp_path: Path) -> None:
    folder, plan = ResultsFolder(tmp_path / "tiny", [].append), fabricate.plan([fabricate.cell()])
    path = folder.plans.write(plan)
    assert folder.plans.write(plan) == path
    edit(path, lambda data: data.update(note="edited"))
    assert folder.plans.write(plan) != path


def test_a_plan_of_a_former_release_has_no_digest(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny", pytest.fail)
    path = folder.plans.write(fabricate.plan([fabricate.cell()]))
    edit(path, lambda data: data.pop("digest"))
    assert len(folder.load().plans) == 1


def test_an_edited_record_is_set_aside_and_never_overwritten(tmp_path: Path) -> None:
    folder, record, _ = written(tmp_path)
    files = folder.cell(record.cell.key)
    edit(files.record, lambda data: data["values"].update(top1=99.9))
    edited = files.record.read_text()
    folder.set_aside(record.cell.key)
    folder.write_record(record)
    assert folder.read_record(record.cell.key) == record
    assert files.folder.joinpath("record.1.json").read_text() == edited


def test_the_checkpoint_of_a_damaged_record_stays(tmp_path: Path) -> None:
    """It was of an interrupted cell, as far as anybody knows, and speaks for itself."""
    folder, record, _ = written(tmp_path, Status.INTERRUPTED)
    files = folder.cell(record.cell.key)
    files.checkpoint.write_bytes(b"state")
    folder.set_aside(record.cell.key)
    assert files.record.exists()
    files.record.write_text("{")
    folder.set_aside(record.cell.key)
    assert [path.name for path in sorted(files.folder.glob("record*"))] == ["record.1.json"]
    assert files.checkpoint.exists()
