"""What somebody changed in a results folder is found, also where every digest was made anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forging import Data, edit, findings, keys, read, recast, redigest, verified, write

from kdharness.errors import UserError
from kdharness.planning.cell import digest
from kdharness.results.checks.finding import Finding, Kind
from kdharness.results.seal import sealed


def set_top1(value: float) -> Callable[[Data], object]:
    """In the column and in the metrics, so that the record does not contradict itself."""

    def change(data: Data) -> None:
        data["values"]["top1"] = value
        next(row for row in data["metrics"] if row["metric"] == "top1")["value"] = value

    return change


def test_a_folder_that_nobody_touched_is_well(results: Path) -> None:
    found = verified(results)
    assert found.findings == []
    lines = list(found.lines())
    assert lines[0] == "7 cells planned (7 ok), 7 records"
    assert lines[-1] == "all is well"
    sums = [row for record in found.contents.records.values() for row in record.metrics if row.metric in ("nll", "ece")]
    assert found.tally.close == len(sums) + 2 * 7  # of all outputs, and the columns of the main one
    assert found.tally.exact > found.tally.close


def test_an_edited_number_is_found_by_its_digest_and_named(results: Path) -> None:
    key = keys(results, "kd")[0]
    true = read(results, key)["values"]["top1"]
    edit(results, key, set_top1(99.5), seal=False)
    broken, edited, *rest = [f for f in findings(results) if f.where == f"cells/{key}/record.json"]
    assert broken == Finding(Kind.EDITED, f"cells/{key}/record.json", "its values do not match its digest")
    assert edited.kind is Kind.EDITED
    assert edited.what.startswith(f"top1 is 99.5, predictions.npz gives {true!r}")
    assert [f.what.split(" gives")[0] for f in rest] == ["top1 is 99.5, history.csv"]


def test_an_edited_number_under_a_new_digest_is_counted_again(results: Path) -> None:
    key = keys(results, "kd")[0]
    true = read(results, key)["values"]["top1"]
    edit(results, key, set_top1(99.5))
    by_logits, by_history = findings(results)
    assert by_logits.what.startswith(f"top1 is 99.5, predictions.npz gives {true!r}; so do others not fit: ")
    assert by_history.what.startswith(f"top1 is 99.5, history.csv gives {true!r} (kd conv32:conv16")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("top5", "predictions.npz"),
        ("nll", "predictions.npz"),
        ("ece", "predictions.npz"),
        ("x_top3", "predictions.npz"),
        ("teacher_agreement", "the logits of its teacher"),
        ("teacher_top1", "the logits of its teacher"),
        ("top1_last10", "history.csv"),
        ("epochs", "history.csv"),
        ("x_parameter_ratio", "its own numbers"),
    ],
)
def test_every_number_that_a_file_says_is_held_against_it(results: Path, name: str, source: str) -> None:
    key = keys(results, "kd")[1]
    true = read(results, key)["values"][name]
    edit(results, key, lambda d: d["values"].update({name: true + 1}))
    found = findings(results)
    assert any(f.what.startswith(f"{name} is {float(true + 1)!r}, {source} gives ") for f in found), found
    assert {f.where for f in found} == {f"cells/{key}/record.json"}


def test_the_numbers_of_an_early_exit_are_counted_too(results: Path) -> None:
    key = keys(results, "byot")[0]

    def change(data: Data) -> None:
        row = next(r for r in data["metrics"] if r["metric"] == "top1" and r["predictor"] == "exit1")
        row["value"] += 0.5

    edit(results, key, change)
    (found,) = findings(results)
    assert found.what.startswith("top1 of exit1 on test is ")


def test_swapped_predictions_are_not_those_of_their_records(results: Path) -> None:
    one, other = keys(results, "vanilla")
    swap(results, one, other)
    found = findings(results)
    assert {f.where for f in found} == {f"cells/{k}/predictions.npz" for k in (one, other)}
    assert all("its record says" in f.what for f in found)


def test_swapped_predictions_under_new_digests_give_other_numbers(results: Path) -> None:
    one, other = keys(results, "vanilla")
    swap(results, one, other)
    for key in (one, other):
        redigest(results, key)
    found = findings(results)
    assert {f.where for f in found} == {f"cells/{k}/record.json" for k in (one, other)}
    assert all("predictions.npz gives" in f.what for f in found)


def swap(path: Path, one: str, other: str) -> None:
    files = [path / "cells" / key / "predictions.npz" for key in (one, other)]
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, reversed(contents), strict=True):
        file.write_bytes(content)


def test_better_logits_with_all_numbers_counted_from_them_are_caught_by_the_curves(results: Path) -> None:
    """The attacker counts top-1 from forged logits, and makes every digest anew."""
    key = keys(results, "vanilla")[0]
    path = results / "cells" / key / "predictions.npz"
    arrays = dict(np.load(path))
    arrays["logits"] = np.eye(arrays["logits"].shape[1], dtype=np.float16)[arrays["targets"]]
    np.savez_compressed(path, **arrays)
    edit(results, key, set_top1(100.0))
    redigest(results, key)
    found = findings(results)
    assert any(f.what.startswith("top1 is 100.0, history.csv gives ") for f in found)


def test_labels_that_were_moved_to_the_predictions_are_not_those_of_the_others(results: Path) -> None:
    key = keys(results, "vanilla")[0]
    path = results / "cells" / key / "predictions.npz"
    arrays = dict(np.load(path))
    arrays["targets"] = arrays["logits"].argmax(axis=1).astype(np.int64)
    np.savez_compressed(path, **arrays)
    redigest(results, key)
    what = "its labels are not those of the same test images in 6 other cells"
    assert Finding(Kind.EDITED, f"cells/{key}/predictions.npz", what) in findings(results)


def test_a_record_under_another_key_is_foreign_there(results: Path) -> None:
    good, bad = keys(results, "kd")[0], keys(results, "vanilla")[0]
    shutil.copy(results / "cells" / good / "record.json", results / "cells" / bad / "record.json")
    (found,) = findings(results)
    assert found == Finding(Kind.FOREIGN, f"cells/{bad}/record.json", f"it is the record of cell {good}")


def test_a_record_that_took_another_key_has_the_wrong_document(results: Path) -> None:
    """With its files, its key and its digest made anew: the document gives the key away, and the logits are not new."""
    good, bad = keys(results, "kd")
    shutil.rmtree(results / "cells" / bad)
    shutil.copytree(results / "cells" / good, results / "cells" / bad)
    edit(results, bad, lambda d: d["cell"].update(key=bad))
    found = findings(results)
    assert any(f.what == f"its key is {bad}, and its document has the key {good}" for f in found)


def test_a_record_with_another_cells_document_has_another_cells_logits(results: Path) -> None:
    good, bad = keys(results, "kd")
    cell = read(results, bad)["cell"]
    shutil.rmtree(results / "cells" / bad)
    shutil.copytree(results / "cells" / good, results / "cells" / bad)
    edit(results, bad, lambda d: d.update(cell=cell))
    (found,) = findings(results)
    later = max(good, bad)
    assert (found.kind, found.where) == (Kind.EDITED, f"cells/{later}/predictions.npz")
    assert found.what.startswith(f"the same logits as cell {min(good, bad)} of kd conv32:conv16")
    assert found.what.endswith("another seed")


def test_a_field_beside_the_document_is_held_against_it(results: Path) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"].update(method="vanilla"))
    assert [f.what for f in findings(results)] == ["method is vanilla, its document says kd"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"variant": "temperature=2"}, "variant says temperature=2, and its parameters do not"),
        ({"variant": "without=ce"}, "variant says without=ce, and its parameters do not"),
        ({"tracks": {"default": "t=2"}}, "variant in track default says t=2, and its parameters do not"),
        ({"method_revision": "9"}, "method_revision is 9, its document says 1"),
        ({"method_package": "mine"}, "method_package is mine, its document says kdharness"),
        ({"seeding": "student+teacher"}, "seeding is student+teacher, its document says student"),
    ],
)  # fmt: skip
def test_what_tables_show_of_a_method_is_held_against_its_document(results: Path, change: Data, what: str) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"].update(change))
    assert what in [f.what for f in findings(results) if f.where == f"cells/{key}/record.json"]


def test_a_variant_says_what_was_left_out(results: Path) -> None:
    key = recast(results, keys(results, "kd")[0], lambda cell: cell["document"]["method"].update(without=["ce"]))
    assert "variant is nothing, and its document leaves out ce" in [f.what for f in findings(results)]
    recast(results, key, lambda cell: cell.update(variant="without=ce"))
    assert not any("leaves out" in f.what for f in findings(results))


@pytest.mark.parametrize("name", ["method", "recipe", "evaluation", "teachers", "scenario", "dataset", "student"])
@pytest.mark.parametrize("value", [None, 3, "x", [1]])
def test_a_document_that_is_none_is_a_finding_and_no_crash(results: Path, name: str, value: object) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"]["document"].update({name: value}))
    (found,) = [f for f in findings(results) if f.where == f"cells/{key}/record.json"]
    assert found.kind is Kind.DAMAGED
    assert "of the document is not what it should be" in found.what or "scenario is not" in found.what


@pytest.mark.parametrize("value", [3, [1], {"a": 1}])
def test_a_field_of_another_type_is_found_under_any_digest(results: Path, value: object) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"].update(variant=value))
    assert Kind.DAMAGED in {f.kind for f in findings(results) if f.where == f"cells/{key}/record.json"}


def test_teachers_are_called_what_they_are(results: Path) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"]["pair"].update(teachers=["conv64"]))
    assert "its teachers are called conv64, and they are conv32" in [f.what for f in findings(results)]


def test_a_plan_whose_cells_are_not_their_keys(results: Path) -> None:
    (path,) = (results / "plans").iterdir()
    data = json.loads(path.read_text())
    data["cells"][-1]["cell"]["seed"] = 7
    path.write_text(sealed({k: v for k, v in data.items() if k != "digest"}))
    assert any(f.what.endswith("seed is 7, its document says 1") for f in findings(results))


def test_an_edited_plan_is_said(results: Path) -> None:
    (path,) = (results / "plans").iterdir()
    path.write_text(path.read_text().replace('"few100"', '"few200"'))
    assert Finding(Kind.EDITED, f"plans/{path.name}", "its values do not match its digest") in findings(results)


def test_deviations_that_a_new_plan_hides_are_a_doubt(results: Path) -> None:
    key = keys(results, "kd")[0]
    edit(results, key, lambda d: d["cell"].update(deviations="recipe.epochs=3"))
    (found,) = findings(results)
    assert found.kind is Kind.DOUBT
    assert "deviations recipe.epochs=3; its plan says" in found.what


def test_a_deleted_cell_is_missing(results: Path) -> None:
    key = keys(results, "vanilla")[1]
    shutil.rmtree(results / "cells" / key)
    (found,) = findings(results)
    assert found.kind is Kind.MISSING
    assert found.where == f"cells/{key}"
    assert found.what.startswith("vanilla conv16 digits few100 seed 1")


@pytest.mark.parametrize("name", ["predictions.npz", "history.csv"])
def test_a_deleted_file_is_missing(results: Path, name: str) -> None:
    key = keys(results, "vanilla")[1]
    (results / "cells" / key / name).unlink()
    (found,) = findings(results)
    assert (found.kind, found.where) == (Kind.MISSING, f"cells/{key}/{name}")


def test_weights_that_are_not_here_are_said_and_no_fault(results: Path) -> None:
    (teacher,) = keys(results, "vanilla", "teacher")
    (results / "cells" / teacher / "model.safetensors").unlink()
    found = verified(results)
    assert found.findings == []
    assert "the weights of 1 cells are not here: their digests were not looked at" in list(found.lines())


def test_other_weights_of_a_teacher_make_its_students_stale(results: Path) -> None:
    (teacher,) = keys(results, "vanilla", "teacher")
    path = results / "cells" / teacher / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert [f.where for f in findings(results)] == [f"cells/{teacher}/model.safetensors"]
    redigest(results, teacher)
    found = findings(results)
    assert {f.kind for f in found} == {Kind.STALE}
    assert {f.where for f in found} == {f"cells/{key}/record.json" for key in keys(results, "kd")}


def test_a_teacher_digest_is_held_against_the_sources(results: Path) -> None:
    key = keys(results, "kd")[0]
    true = read(results, key)["values"]["teacher_digest"]
    edit(results, key, lambda d: d["values"].update(teacher_digest="0" * 16))
    assert [f.what for f in findings(results)] == [f"teacher_digest is {'0' * 16}, its sources say {true}"]


def test_a_record_of_another_benchmark_is_foreign(results: Path) -> None:
    data = read(results, keys(results, "vanilla")[0])
    data["cell"]["benchmark"], data["cell"]["document"]["seed"], data["cell"]["seed"] = "other", 5, 5
    data["cell"]["key"] = key = digest(data["cell"]["document"])
    (results / "cells" / key).mkdir()
    write(results, key, data)
    found = [f for f in findings(results) if f.kind is Kind.FOREIGN]
    what = "no plan asks for vanilla conv16 digits few100 seed 5 of benchmark 'other'"
    assert found == [Finding(Kind.FOREIGN, f"cells/{key}/record.json", what)]


def test_a_folder_of_no_cell_is_foreign(results: Path) -> None:
    (results / "cells" / "stranger").mkdir()
    assert findings(results) == [Finding(Kind.FOREIGN, "cells/stranger", "it has no record, and no plan asks for it")]


def test_a_damaged_record_is_said(results: Path) -> None:
    key = keys(results, "kd")[0]
    (results / "cells" / key / "record.json").write_text("{")
    assert [f.kind for f in findings(results)] == [Kind.DAMAGED]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_predictions_that_are_none_leave_their_numbers_uncounted(results: Path, content: bytes) -> None:
    key = keys(results, "kd")[0]
    (results / "cells" / key / "predictions.npz").write_bytes(content)
    found = verified(results)
    assert [(f.kind, f.where) for f in found.findings] == [(Kind.EDITED, f"cells/{key}/predictions.npz")]
    assert any("of files that are not those of their record" in line for line in found.lines())


def test_a_number_that_was_measured_and_is_gone(results: Path) -> None:
    key = keys(results, "vanilla")[0]
    edit(results, key, lambda d: d["values"].pop("nll"))
    assert [f.what for f in findings(results)] == ["it says that nll was measured, and has none"]


def test_a_folder_with_nothing_to_hold_its_tables_against(results: Path) -> None:
    shutil.rmtree(results / "cells")
    shutil.rmtree(results / "plans")
    with pytest.raises(UserError, match="has neither plans nor records"):
        verified(results)
