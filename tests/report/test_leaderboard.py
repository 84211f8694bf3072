"""Folders merged into one leaderboard, and the tables that a run writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.errors import UserError
from kdharness.protocol.claim import Claim
from kdharness.report.latex import as_latex
from kdharness.report.leaderboard import merge, write_tables
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, ranking_of, report_of
from kdharness.results.foreign_rows import read_rows
from kdharness.results.store import ResultsFolder
from kdharness.results.table import frame_of
from kdharness.stats.board_schema import board_columns
from kdharness.stats.claims import CLAIM_COLUMNS
from kdharness.stats.effects import EFFECT_COLUMNS
from kdharness.stats.standings import REFERENCES


def test_tables_are_written_whole(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    write_tables(folder.load())
    pd.testing.assert_frame_equal(frame_of(read_rows(folder.tables.results)), folder.load().frame)
    assert pd.read_csv(folder.tables.leaderboard).columns.to_list() == [c.name for c in board_columns(REFERENCES)]
    assert len(pd.read_csv(folder.tables.metrics)) == 26
    assert not list(folder.path.glob("*.tmp"))


def test_tables_of_a_folder_without_plan_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("kept")
    with pytest.raises(UserError, match="no plan"):
        write_tables(ResultsFolder(tmp_path).load())
    assert (tmp_path / "results.csv").read_text() == "kept"


def test_claims_csv_comes_and_goes(tmp_path: Path) -> None:
    claims = tuple(
        Claim(text="A is better", better=better, than="vanilla", smaller=False, equal_within=0.2)
        for better in ("kd", "byot")
    )
    records = fabricate.records_of({"vanilla": [88.0, 88.5, 87.9], "kd": [91.0, 91.4, 90.9]})
    cells = [r.cell for r in records]
    folder = fabricate.write(tmp_path / "tiny", cells, records, claims=claims)
    write_tables(folder.load())
    frame = pd.read_csv(folder.path / "claims.csv")
    assert frame.columns.to_list() == list(CLAIM_COLUMNS)
    assert frame["answer"].to_list() == ["holds", "not measured"]
    folder.plans.write(fabricate.plan(cells, created_at="2026-01-01T00:00:00+00:00"))
    write_tables(folder.load())
    assert not (folder.path / "claims.csv").exists()


def test_ablation_csv_where_there_is_an_ablation(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [91.0, 91.4, 90.9], "kd[without=kd]": [88.0, 88.5, 87.9]})
    ablation: dict[str, Any] = {
        "ablated": "kd",
        "parts": {r.cell.key: ("kd without kd" if r.cell.variant else "kd",) for r in records},
    }
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, **ablation)
    write_tables(folder.load())
    frame = pd.read_csv(folder.path / "ablation.csv")
    assert frame.columns.to_list() == list(EFFECT_COLUMNS)
    assert frame["part"].to_list() == ["kd", "kd without kd"]
    plain = fabricate.tiny_world(tmp_path / "plain")
    write_tables(plain.load())
    assert not (plain.path / "ablation.csv").exists()


def test_the_dictionary_names_every_column() -> None:
    text = (Path(__file__).parents[2] / "results" / "README.md").read_text(encoding="utf-8")
    for name, expected in (("claims.csv", CLAIM_COLUMNS), ("ablation.csv", EFFECT_COLUMNS)):
        described = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        first = [line.split(" | ")[0] for line in described.splitlines() if line.startswith("| `")]
        assert re.findall(r"`(\w+)`", " ".join(first)) == list(expected)


def test_merged_folders_keep_the_newest_plans_references_and_notes(tmp_path: Path) -> None:
    one = fabricate.tiny_world(tmp_path / "one")
    cells = [fabricate.cell("new")]
    two = fabricate.write(tmp_path / "two" / "tiny", cells, [], references=("plain", "kd"), note="Another note.")
    merged = merge([one.load(), two.load()])
    assert merged.references == ("vanilla", "kd", "plain")
    assert merged.note == "A smoke test, not a ranking. Another note."
    assert merge([one.load()]).references == REFERENCES
    other = fabricate.write(tmp_path / "huge", cells, [], note="Another note.")
    assert merge([one.load(), other.load()]).note == "tiny: A smoke test, not a ranking. huge: Another note."
    assert len(merged.frame) == len(one.load().frame) + 1


@pytest.mark.parametrize("write", [as_text, as_markdown, as_latex, as_page])
def test_older_revisions_are_said_in_a_line(tmp_path: Path, write: Callable[..., str]) -> None:
    folders = []
    for revision, scores in (("1", [90.0, 91.0]), ("2", [92.0, 93.0])):
        records = fabricate.records_of({"kd": scores}, method_revision=revision)
        folders.append(fabricate.write(tmp_path / revision / "tiny", [r.cell for r in records], records).load())
    text = " ".join(write([ranking_of(merge(folders))]).split())
    assert "2 cells of older revisions are left out: kd of revision 1 (2 counts)" in text
    assert "older revision" not in write([ranking_of(merge(folders[1:]))])


@pytest.mark.parametrize(("write", "tables"), [(as_text, 1), (as_markdown, 2), (as_latex, 2), (as_page, 1)])
@pytest.mark.parametrize(
    "of", [report_of, lambda contents: ranking_of(merge([contents]))], ids=["report", "leaderboard"]
)
def test_a_datasets_note_stands_with_it(
    tmp_path: Path, write: Callable[..., str], tables: int, of: Callable[..., Report]
) -> None:
    of_datasets = [
        fabricate.records_of({"vanilla": [88.0], "kd": [90.0]}, dataset=name) for name in ("digits", "photos")
    ]
    records = [record for each in of_datasets for record in each]
    folder = fabricate.write(tmp_path / "tiny", [], records)
    for each, note in zip(of_datasets, ("Smoke.", ""), strict=True):
        folder.plans.write(fabricate.plan([record.cell for record in each], note=note))
    text = write([of(folder.load())])
    places = [found.start() for found in re.finditer("Smoke", text)]
    assert len(places) == tables
    assert all(text.rfind("digits", 0, place) > text.rfind("photos", 0, place) for place in places)
