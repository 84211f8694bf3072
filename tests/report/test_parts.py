"""What the parts of a method do: effects computed by hand, in words, and in reports."""

from __future__ import annotations

from pathlib import Path

import fabricate
import pandas as pd
import pytest

from kdharness.report.ablation import EFFECT_COLUMNS, effects_of
from kdharness.report.leaderboard import write_tables
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder

SCORES: dict[str, list[float | None]] = {
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],
    "kd[without=ce]": [91.0, 91.4, 90.8, 91.3, 91.2],
    "kd[without=kd]": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd[temperature=9]": [93.0, 93.4, 93.0, 93.2, 93.3],
    "vanilla": [88.0, 88.5, 87.9, 88.2, 88.4],
    "other": [1.0] * 5,
}
PARTS = {
    "kd": "kd",
    "kd[without=ce]": "kd without ce",
    "kd[without=kd]": "kd without kd",
    "kd[temperature=9]": "kd[hot]",
    "vanilla": "vanilla",
}


def parts_of(records: list[Record]) -> dict[str, tuple[str, ...]]:
    names = {r.cell.key: f"{r.cell.method}[{r.cell.variant}]" if r.cell.variant else r.cell.method for r in records}
    return {key: (PARTS[name],) for key, name in names.items() if name in PARTS}


def world(path: Path, scores: dict[str, list[float | None]] = SCORES, **changes: object) -> ResultsFolder:
    records = fabricate.records_of(scores, **changes)
    return fabricate.write(path, [r.cell for r in records], records, ablated="kd", parts=parts_of(records))


def test_effects_by_hand(tmp_path: Path) -> None:
    effects = report_of(world(tmp_path / "tiny")).effects
    assert effects.columns.to_list() == list(EFFECT_COLUMNS)
    assert effects["part"].to_list() == ["kd", "kd without kd", "vanilla", "kd without ce", "kd[hot]"]
    row = effects.set_index("part").loc["kd without kd"]
    assert row["effect"] == pytest.approx(2.96)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((2.8184, 3.1016), abs=1e-4)
    assert (row["n"], row["seeds"], row["p"]) == (5, "0-4", pytest.approx(0.0625))
    words = effects.set_index("part")["effect_in_words"].to_dict()
    assert words == {
        "kd": "",
        "kd without kd": "helps",
        "kd without ce": "makes no difference",
        "kd[hot]": "whole is worse",
        "vanilla": "whole is better",
    }


def test_the_whole_may_be_a_variant(tmp_path: Path) -> None:
    scores = {
        "kd[temperature=2]": SCORES["kd"],
        "kd[temperature=2,without=kd]": SCORES["kd[without=kd]"],
        "kd": [1.0] * 5,
    }
    records = fabricate.records_of(scores)
    names = {"temperature=2": "kd", "temperature=2,without=kd": "kd without kd"}
    parts = {r.cell.key: (names[r.cell.variant],) for r in records if r.cell.variant in names}
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, ablated="kd", parts=parts)
    effects = report_of(folder).effects
    assert effects["part"].to_list() == ["kd", "kd without kd"]
    assert effects["effect"].iloc[1] == pytest.approx(2.96)


def test_a_failed_part_says_why(tmp_path: Path) -> None:
    folder = world(tmp_path / "tiny", {**SCORES, "kd[without=kd]": [None] * 5})
    row = report_of(folder).effects.set_index("part").loc["kd without kd"]
    assert (row["effect_in_words"], row["n"], row["reason"]) == ("not measured", 0, "failed")
    assert "kd without kd was not measured: failed" in as_text([report_of(folder)], 120)


def test_without_the_whole_nothing_is_said(tmp_path: Path) -> None:
    folder = world(tmp_path / "tiny", {**SCORES, "kd": [None] * 5})
    effects = report_of(folder).effects
    assert effects["effect"].isna().all()
    assert set(effects["effect_in_words"]) == {"", "not measured"}


def test_settings_without_the_whole_are_left_out(tmp_path: Path) -> None:
    here = fabricate.records_of(SCORES)
    there = fabricate.records_of({"vanilla": SCORES["vanilla"], "other": SCORES["other"]}, scenario="few100")
    records = [*here, *there]
    parts = {**parts_of(records), **{r.cell.key: (r.cell.method,) for r in there}}
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, ablated="kd", parts=parts)
    effects = report_of(folder).effects
    assert set(effects["scenario"]) == {"clean"}
    assert len(effects) == 5


def test_parts_that_are_one_cell_have_a_row_each(tmp_path: Path) -> None:
    records = fabricate.records_of(SCORES)
    names = {("kd",): ("kd", "kd[cold]"), ("kd without kd",): ("kd without kd", "kd[hard]")}
    parts = {key: names.get(name, name) for key, name in parts_of(records).items()}
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, ablated="kd", parts=parts)
    effects = report_of(folder).effects.set_index("part")
    assert effects.index.to_list() == [
        "kd", "kd without kd", "kd[hard]", "vanilla", "kd without ce", "kd[hot]", "kd[cold]",
    ]  # fmt: skip
    words = effects["effect_in_words"]
    assert (words["kd[cold]"], words["kd[hard]"]) == ("the same as the whole", "same as kd without kd")
    assert effects["effect"].isna().to_list() == [True, False, False, False, False, False, True]
    means = effects["top1_mean"].to_dict()
    assert means["kd[cold]"] == means["kd"]
    # Two names for one thing are one test: Holm's correction is that without them.
    plain = report_of(world(tmp_path / "plain")).effects.set_index("part")
    assert effects["p_holm"][plain.index].to_list() == pytest.approx(plain["p_holm"].to_list(), nan_ok=True)


def test_no_ablation_no_section(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    assert report_of(folder).effects.empty
    write_tables(folder)
    assert not (folder.path / "ablation.csv").exists()


def test_the_newest_ablation_of_a_method_counts(tmp_path: Path) -> None:
    folder = world(tmp_path / "tiny")
    records = fabricate.records_of({"kd": SCORES["kd"], "vanilla": SCORES["vanilla"]})
    folder.write_plan(fabricate.plan([r.cell for r in records], ablated="kd", parts=parts_of(records)))
    folder.write_plan(fabricate.plan([r.cell for r in records], created_at="2026"))  # an ordinary run after it
    assert report_of(folder).effects["part"].to_list() == ["kd", "vanilla"]


def test_the_table_and_the_section(tmp_path: Path) -> None:
    folder = world(tmp_path / "tiny")
    write_tables(folder)
    frame = pd.read_csv(folder.path / "ablation.csv")
    assert frame.columns.to_list() == list(EFFECT_COLUMNS)
    assert len(frame) == 5
    text = as_text([report_of(folder)], 100)
    assert "what the parts of kd do" in text
    assert "+2.96 ±0.14" in text
    assert effects_of([], fabricate.table_of([])).columns.to_list() == list(EFFECT_COLUMNS)
