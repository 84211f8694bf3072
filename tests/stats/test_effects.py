"""What the parts of a method do: effects computed by hand, in words, and in reports."""

from __future__ import annotations

from collections.abc import Mapping

import fabricate
import pandas as pd
import pytest

from kdharness.results.record import Record
from kdharness.stats.effects import EFFECT_COLUMNS, effects_of

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


def effects(records: list[Record], parts: Mapping[str, tuple[str, ...]] | None = None) -> pd.DataFrame:
    """Of a plan that takes kd apart."""
    cells = [r.cell for r in records]
    plan = fabricate.plan(cells, ablated="kd", parts=parts_of(records) if parts is None else parts)
    return effects_of([plan], fabricate.table_of(records))


def test_effects_by_hand() -> None:
    found = effects(fabricate.records_of(SCORES))
    assert found.columns.to_list() == list(EFFECT_COLUMNS)
    assert found["part"].to_list() == ["kd", "kd without kd", "vanilla", "kd without ce", "kd[hot]"]
    by_part = found.set_index("part")
    row = by_part.loc["kd without kd"]
    assert row["effect"] == pytest.approx(2.96)
    assert (row["ci_low"], row["ci_high"]) == pytest.approx((2.8184, 3.1016), abs=1e-4)
    assert (row["n"], row["seeds"], row["p"]) == (5, "0-4", pytest.approx(0.0625))
    assert by_part["effect_in_words"].to_dict() == {
        "kd": "",
        "kd without kd": "helps",
        "kd without ce": "makes no difference",
        "kd[hot]": "whole is worse",
        "vanilla": "whole is better",
    }
    assert by_part.loc["kd", ["n", "seeds", "top1_mean"]].to_list() == [5, "0-4", pytest.approx(91.16)]


def test_a_part_that_hurts() -> None:
    scores = {"kd": SCORES["kd"], "kd[without=ce]": SCORES["kd[temperature=9]"]}
    found = effects(fabricate.records_of(scores)).set_index("part")
    assert found.loc["kd without ce", "effect_in_words"] == "hurts"
    assert found.loc["kd without ce", "effect"] == pytest.approx(-2.02)


def test_the_whole_may_be_a_variant() -> None:
    scores = {
        "kd[temperature=2]": SCORES["kd"],
        "kd[temperature=2,without=kd]": SCORES["kd[without=kd]"],
        "kd": [1.0] * 5,
    }
    records = fabricate.records_of(scores)
    names = {"temperature=2": "kd", "temperature=2,without=kd": "kd without kd"}
    found = effects(records, {r.cell.key: (names[r.cell.variant],) for r in records if r.cell.variant in names})
    assert found["part"].to_list() == ["kd", "kd without kd"]
    assert found["effect"].iloc[1] == pytest.approx(2.96)


def test_a_failed_part_says_why() -> None:
    found = effects(fabricate.records_of({**SCORES, "kd[without=kd]": [None] * 5})).set_index("part")
    assert found.loc["kd without kd", ["effect_in_words", "n", "reason"]].to_list() == ["not measured", 0, "failed"]


def test_why_a_part_failed_is_told_once() -> None:
    records = fabricate.records_of({**SCORES, "kd[without=kd]": [None] * 5})
    parts = parts_of(records)
    twice = {key: ("kd without kd", "kd[hard]") if name == ("kd without kd",) else name for key, name in parts.items()}
    found = effects(records, twice).set_index("part")
    assert found.loc["kd[hard]", ["effect_in_words", "reason"]].to_list() == ["same as kd without kd", ""]
    assert found.loc["kd without kd", "reason"] == "failed"


def test_without_the_whole_nothing_is_said() -> None:
    found = effects(fabricate.records_of({**SCORES, "kd": [None] * 5}))
    assert found["effect"].isna().all()
    assert set(found["effect_in_words"]) == {"", "not measured"}


def test_settings_without_the_whole_are_left_out() -> None:
    here = fabricate.records_of(SCORES)
    there = fabricate.records_of({"vanilla": SCORES["vanilla"], "other": SCORES["other"]}, scenario="few100")
    found = effects([*here, *there], {**parts_of(here), **{r.cell.key: (r.cell.method,) for r in there}})
    assert set(found["scenario"]) == {"clean"}
    assert len(found) == 5


def test_each_setting_says_how_its_own_runs_deviate() -> None:
    here = fabricate.records_of(SCORES)
    there = fabricate.records_of(SCORES, scenario="few100", deviations="recipe.epochs=2")
    found = effects([*here, *there])
    assert found.groupby("scenario")["deviations"].unique().map(list).to_dict() == {
        "clean": [""],
        "few100": ["recipe.epochs=2"],
    }


def test_parts_that_are_one_cell_have_a_row_each() -> None:
    records = fabricate.records_of(SCORES)
    names = {("kd",): ("kd", "kd[cold]"), ("kd without kd",): ("kd without kd", "kd[hard]")}
    found = effects(records, {key: names.get(name, name) for key, name in parts_of(records).items()}).set_index("part")
    assert found.index.to_list() == [
        "kd", "kd without kd", "kd[hard]", "vanilla", "kd without ce", "kd[hot]", "kd[cold]",
    ]  # fmt: skip
    words = found["effect_in_words"]
    assert (words["kd[cold]"], words["kd[hard]"]) == ("the same as the whole", "same as kd without kd")
    assert found["effect"].isna().to_list() == [True, False, False, False, False, False, True]
    means = found["top1_mean"].to_dict()
    assert means["kd[cold]"] == means["kd"]
    # Two names for one thing are one test: Holm's correction is that without them.
    plain = effects(records).set_index("part")
    assert found["p_holm"][plain.index].to_list() == pytest.approx(plain["p_holm"].to_list(), nan_ok=True)


def test_without_an_ablation_there_is_none() -> None:
    records = fabricate.records_of(SCORES)
    found = effects_of([fabricate.plan([r.cell for r in records])], fabricate.table_of(records))
    assert found.empty
    assert found.columns.to_list() == list(EFFECT_COLUMNS)


def test_the_newest_ablation_of_a_method_counts() -> None:
    records = fabricate.records_of(SCORES)
    cells = [r.cell for r in records]
    fewer = fabricate.records_of({"kd": SCORES["kd"], "vanilla": SCORES["vanilla"]})
    plans = [
        fabricate.plan(cells, ablated="kd", parts=parts_of(records)),
        fabricate.plan(cells, ablated="kd", parts=parts_of(fewer)),
        fabricate.plan(cells),  # an ordinary run after it
    ]
    assert effects_of(plans, fabricate.table_of(records))["part"].to_list() == ["kd", "vanilla"]
