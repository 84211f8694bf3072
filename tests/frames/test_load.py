"""`kdharness.load`: frames of folders, whatever state they are in."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pandas as pd
import pytest

import kdharness
from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.frames import Results
from kdharness.protocol.claim import Claim
from kdharness.report.leaderboard import write_tables
from kdharness.results.history import write_history
from kdharness.results.record import MetricRow, Status
from kdharness.results.store import ResultsFolder

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    fabricate.tiny_world(tmp_path)
    return tmp_path / "tiny"


def test_the_frames_of_a_folder_are_its_tables(world):
    results = kdharness.load(world)
    write_tables(results.folders[0])
    assert repr(results) == f"Results({world}: {len(results.cells)} cells)"
    assert len(results.cells) == 1 + 6 * 5 + 5 + 2
    board = results.leaderboard.set_index(["method", "variant"])
    assert board.loc[("kd", ""), "top1_mean"] == pytest.approx(91.16)
    assert board.loc[("kd", "temperature=2"), "gain_over_kd"] == pytest.approx(-0.84)
    assert board.loc[("kd", ""), "gain_over_kd_verdict"] == ""
    for name, frame in (("results", results.cells), ("leaderboard", results.leaderboard), ("metrics", results.metrics)):
        read = pd.read_csv(world / f"{name}.csv", keep_default_na=False, na_values={}, dtype=str)
        assert list(read.columns) == list(frame.columns)
        assert len(read) == len(frame)
    assert results.claims.empty
    assert results.frames.keys() == {"cells", "metrics", "history", "leaderboard", "claims"}


def test_every_frame_has_the_dtypes_that_its_columns_say(world):
    results = kdharness.load(world)
    described = results.columns()
    for name, frame in results.frames.items():
        assert {c.name: c.dtype for c in described[name]} == {c: str(frame[c].dtype) for c in frame}, name
        assert [c.name for c in described[name]] == list(frame.columns)


def test_the_same_frames_from_a_folder_its_tables_alone_and_a_bundle(tmp_path, world, capsys):
    """Values and dtypes, of a folder that is half done."""
    folder = ResultsFolder(world)
    claim = Claim(text="kd is better than labels alone", better="kd", than="vanilla")
    newest = folder.load().newest
    assert newest is not None
    folder.plans.write(replace(newest, claims=(claim,), created_at="2026-01-01T00:00:00+00:00"))
    write_tables(folder.load())
    own = kdharness.load(world).frames
    assert len(own["claims"]) == 1
    assert execute(["bundle", str(world), "--out", str(tmp_path / "tiny.zip")]) == 0
    (tmp_path / "tables").mkdir()
    for name in ("results", "metrics", "claims"):
        shutil.copy(world / f"{name}.csv", tmp_path / "tables")
    for other in (tmp_path / "tiny.zip", tmp_path / "tables"):
        for name, frame in kdharness.load(other).frames.items():
            if name != "history" or other.suffix:
                pd.testing.assert_frame_equal(frame, own[name])
    capsys.readouterr()


def test_curves_of_all_cells_with_names_joined_on_demand(world):
    folder = kdharness.load(world).folders[0]
    kd = next(r.cell for r in folder.records.values() if r.cell.method == "kd" and r.cell.seed == 3)
    cut = next(r.cell for r in folder.records.values() if r.status is Status.INTERRUPTED)
    write_history(folder.files_of(kd.key).history, [(1, "train", "", "=ce", 2.5), (2, "test", "logits", "top1", 88.0)])
    write_history(folder.files_of(cut.key).history, [(1, "train", "", "ce", float("nan"))])
    results = kdharness.load(world)
    history = results.history
    assert history["cell"].isin([kd.key, cut.key]).all()
    of_kd = history[history["cell"] == kd.key]
    assert of_kd.iloc[:, 1:].values.tolist() == [[1, "train", "", "=ce", 2.5], [2, "test", "logits", "top1", 88.0]]
    assert history[history["cell"] == cut.key]["value"].isna().all()
    named = results.named(history, ["method", "seed"])
    assert list(named.columns) == ["method", "seed", *history.columns]
    assert set(zip(named["method"], named["seed"], strict=True)) == {("kd", 3), ("slow", 0)}
    with pytest.raises(UserError, match="unknown column 'methd'; did you mean 'method'"):
        results.named(history, ["methd"])
    with pytest.raises(UserError, match="unknown column 'cell'"):
        results.named(results.leaderboard)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "its columns are not epoch"),
        ("a,b\n1,2\n", "its columns are not epoch"),
        ("epoch,split,predictor,metric,value\n1,train\n", "not enough values"),
        ("epoch,split,predictor,metric,value\nx,train,,ce,1\n", "invalid literal"),
        ("epoch,split,predictor,metric,value\n1,train,,ce,\x00\n", "could not convert|NUL"),
    ],
)
def test_damaged_curves_are_warned_of_and_left_out(world, text, reason):
    folder = kdharness.load(world).folders[0]
    first, second = list(folder.current)[:2]
    folder.files_of(first).history.write_text(text)
    write_history(folder.files_of(second).history, [(1, "train", "", "ce", 1.0)])
    results = kdharness.load(world)
    with pytest.warns(UserWarning, match=f"{first}/history.csv is left out: .*({reason})"):
        assert set(results.history["cell"]) == {second}


def store(world: Path, **arrays: object) -> str:
    """predictions.npz of the first kd cell; its key."""
    folder = kdharness.load(world).folders[0]
    key = next(k for k, r in folder.current.items() if r.cell.method == "kd")
    np.savez_compressed(folder.files_of(key).predictions, **arrays)
    return key


def test_predictions_of_a_cell(world):
    logits = np.array([[1, 2], [3, -1]], dtype=np.float16)
    key = store(world, logits=logits, logits_exit1=-logits, targets=np.array([1, 1], dtype=np.int32))
    results = kdharness.load(world)
    main = results.predictions(key)
    assert (main.logits.dtype, main.targets.dtype) == (np.float32, np.int64)
    assert main.logits.tolist() == [[1.0, 2.0], [3.0, -1.0]]
    assert main.targets.tolist() == [1, 1]
    assert results.predictions(key, "exit1").logits.tolist() == [[-1.0, -2.0], [-3.0, 1.0]]
    # What metrics.csv calls the main output.
    assert results.predictions(key, "student").logits.tolist() == main.logits.tolist()
    with pytest.raises(UserError, match=f"unknown output 'exit2' .of cell {key}.; did you mean 'exit1'"):
        results.predictions(key, "exit2")
    with pytest.raises(UserError, match="unknown cell"):
        results.predictions(key[:-1] + "!")


def test_predictions_that_are_not_there(world):
    results = kdharness.load(world)
    students = results.cells[results.cells["role"] == "student"]
    cells = students.set_index(["method", "variant", "seed"])["cell"]
    with pytest.raises(UserError, match=r"\(ok\) has no predictions.npz"):
        results.predictions(cells["kd", "", 1])
    with pytest.raises(UserError, match="left no record that counts"):
        results.predictions(cells["slow", "", 1])
    for wrong in ({"logits": np.ones(3), "targets": np.ones(3)}, {"logits": np.ones((3, 2)), "targets": np.ones(2)}):
        with pytest.raises(UserError, match=r"holds no logits \[n, classes\] with targets \[n\]"):
            kdharness.load(world).predictions(store(world, **wrong))
    key = store(world, logits=np.array([[{}]], dtype=object), targets=np.ones(1))
    with pytest.raises(UserError, match="cannot be read: Object arrays cannot be loaded"):
        kdharness.load(world).predictions(key)
    results.folders[0].files_of(key).predictions.write_bytes(b"no archive")
    with pytest.raises(UserError, match="cannot be read"):
        kdharness.load(world).predictions(key)


def test_what_learned_from_private_images_is_its_owners(world):
    key = store(world, logits=np.ones((2, 2)), targets=np.ones(2))
    files = kdharness.load(world).folders[0].files_of(key)
    write_history(files.history, [(1, "train", "", "ce", 1.0)])
    files.shelter.mkdir(parents=True)
    for path in (files.folder / "history.csv", files.folder / "predictions.npz"):
        path.rename(files.shelter / path.name)
    results = kdharness.load(world)
    assert results.history.empty
    with pytest.raises(UserError, match="learned from private images"):
        results.predictions(key)


def test_a_root_with_several_benchmarks_and_folders_of_one(tmp_path, world):
    fabricate.write(tmp_path / "other", [c := fabricate.cell("kd", 9, benchmark="other")], [fabricate.record(c)])
    both = kdharness.load(tmp_path)
    assert set(both.cells["benchmark"]) == {"tiny", "other"}
    assert len(both.cells) == len(kdharness.load(world).cells) + 1
    copy = shutil.copytree(world, tmp_path / "apart" / "tiny")
    with pytest.warns(UserWarning, match="cells in several folders"):
        merged = kdharness.load(world, copy, world).cells
    pd.testing.assert_frame_equal(merged, kdharness.load(world).cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(kdharness.load(world, copy).metrics) == len(kdharness.load(world).metrics)


def test_somebody_elses_tables(tmp_path):
    results = kdharness.load(REFERENCE / "rona-audit")
    assert len(results.claims) == 5
    assert set(results.claims["answer"]) <= {"holds", "does not hold", "undecided", "not measured"}
    assert results.metrics["value"].notna().all()
    assert results.history.empty
    with pytest.raises(UserError, match="a table without records has no outputs"):
        results.predictions(results.cells["cell"][0])
    shutil.copy(REFERENCE / "rona-audit" / "results.csv", tmp_path)
    alone = kdharness.load(tmp_path / "results.csv")
    assert len(alone.cells) == len(results.cells)
    assert alone.metrics.empty
    assert list(alone.claims.columns) == list(results.claims.columns)
    (tmp_path / "metrics.csv").write_text("cell,value\n1,2\n")
    with pytest.raises(
        UserError,
        match=r"metrics.csv of this release: it lacks the columns predictor, split, metric",
    ):
        kdharness.load(tmp_path).metrics  # noqa: B018 - it raises


@pytest.mark.parametrize(
    ("table", "text", "said"),
    [
        ("metrics", "cell,predictor,split,metric,value\na,m,test,top1,9\na,m,test,nll,\"1,5\"\n",
         "metrics.csv, row 3: value '1,5' is no number; did you mean 1.5?"),
        ("metrics", "cell,predictor,split,Metric,value\n", "it lacks the column metric; there is 'Metric'"),
        ("metrics", "cell;predictor;split\n", "metrics.csv: semicolons are between its values"),
        ("claims", "FLAG", "row 2: smaller 'yes' is neither True nor False (and 4 more like this or others)"),
    ],
)  # fmt: skip
def test_somebody_elses_tables_that_are_none(tmp_path, table, text, said):
    for name in ("results", "claims"):
        shutil.copy(REFERENCE / "rona-audit" / f"{name}.csv", tmp_path)
    if text == "FLAG":
        frame = pd.read_csv(tmp_path / "claims.csv", dtype=str, keep_default_na=False).assign(smaller="yes")
        text = frame.to_csv(index=False)
    (tmp_path / f"{table}.csv").write_text(text)
    with pytest.raises(UserError) as raised:
        getattr(kdharness.load(tmp_path), table)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_bundle(tmp_path, world):
    bundle = tmp_path / "tiny.zip"
    assert execute(["bundle", str(world), "--out", str(bundle)]) == 0
    results, folder = kdharness.load(bundle), kdharness.load(world)
    pd.testing.assert_frame_equal(results.cells, folder.cells)
    pd.testing.assert_frame_equal(results.history, folder.history)
    files = results.folders[0].path
    assert files.is_dir()
    del results
    gc.collect()
    assert not files.exists()


def test_a_damaged_bundle(tmp_path, world):
    bundle = tmp_path / "tiny.zip"
    assert execute(["bundle", str(world), "--out", str(bundle)]) == 0
    data = bytearray(bundle.read_bytes())
    data[len(data) // 3] ^= 1
    bundle.write_bytes(data)
    with pytest.raises(UserError, match=r"tiny.zip is damaged: .* 'kdharness verify .*tiny.zip' names each"):
        kdharness.load(bundle)
    (tmp_path / "no.zip").write_bytes(b"no")
    with pytest.raises(UserError, match=r"no.zip is no bundle, or was cut short"):
        kdharness.load(tmp_path / "no.zip")


def test_names_are_data(tmp_path):
    odd = ["nan", "=1+1", "<script>", "a,b", "a|b", "100 %", "R&D", "\x1b[31mred", "蒸留", '"'.join("ab")]
    records = [fabricate.record(fabricate.cell(name, 0, benchmark="odd"), x_rate=1.0) for name in odd]
    records[0] = fabricate.record(records[0].cell, float("nan"))
    records[1] = replace(records[1], metrics=(MetricRow("nan", "test", "null", 1.0),))
    fabricate.write(tmp_path / "odd", [r.cell for r in records], records)
    results = kdharness.load(tmp_path)
    assert set(results.cells["method"]) == {name.replace("\x1b", "").strip() for name in odd}
    assert results.cells.set_index("method").loc["nan", "top1"] != results.cells.set_index("method").loc["a,b", "top1"]
    one = results.named(results.metrics)
    assert one[one["metric"] == "null"][["method", "predictor"]].values.tolist() == [["=1+1", "nan"]]
    assert len(results.leaderboard) == len(odd)
    assert results.describe().query("name == 'x_rate'")["dtype"].tolist() == ["float64"]


def test_what_cannot_be_loaded(tmp_path):
    for path, reason in ((tmp_path, "holds no results"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(UserError, match=reason):
            kdharness.load(path)
    with pytest.raises(UserError, match="no folder is given"):
        kdharness.load()


def test_only_failures_and_one_cell(tmp_path):
    failed = [fabricate.record(fabricate.cell("kd", 0), None, Status.FAILED, "nan")]
    fabricate.write(tmp_path / "tiny", [r.cell for r in failed], failed)
    results = kdharness.load(tmp_path)
    assert results.cells["status"].tolist() == ["failed"]
    assert results.metrics.empty
    assert results.leaderboard["top1_mean"].isna().all()
    assert {str(results.metrics[c].dtype) for c in ("cell", "metric")} == {"object"}


def test_a_damaged_record_is_warned_of(world):
    folder = kdharness.load(world).folders[0]
    key = next(iter(folder.current))
    data = json.loads(folder.files_of(key).record.read_text())
    folder.files_of(key).record.write_text(json.dumps({**data, "status": "fine"}))
    with pytest.warns(UserWarning, match="cannot be read and counts as absent"):
        results = kdharness.load(world)
    assert isinstance(results, Results)
    assert results.cells.set_index("cell").loc[key, "status"] == "not_run"


CODE = """
import sys, kdharness
assert "pandas" not in sys.modules
results = kdharness.load({path!r})
for frame in results.frames.values(): len(frame)
assert len(kdharness.columns()) > 100
print(*sorted({{"torch", "torchvision", "sklearn"}} & set(sys.modules)))
"""


def test_loading_loads_no_torch(world):
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(path=str(world))], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "\n", "")


def test_a_name_that_the_package_has_not():
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        kdharness.lod  # noqa: B018 - it raises
    assert {"load", "columns", "__version__"} <= set(dir(kdharness))
