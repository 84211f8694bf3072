"""What may be compared with what: rows of the table arranged by setting.

A setting is (protocol, dataset, scenario, pair) of one benchmark. No statistic crosses a setting's protocol, and a
variant is a competitor of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

# teacher_source: '' for teachers that the plan trains, a file's digest otherwise: another teacher of the same name.
SETTING = ("benchmark", "protocol", "dataset", "scenario", "teacher", "teacher_source", "student")
COMPETITOR = ("method", "variant")
BLOCK = ("benchmark", "protocol", "dataset", "scenario")


def place_of(names: Mapping[str, Any]) -> str:
    """'digits · few100 · conv32:conv16', of a row or whatever else has SETTING's names."""
    pair = f"{names['teacher']}:{names['student']}" if names["teacher"] else str(names["student"])
    scenario = "" if names["scenario"] == "clean" else names["scenario"]
    parts = (names["benchmark"], names["dataset"], scenario, pair)
    return " · ".join(dict.fromkeys(str(part) for part in parts if part))


def comparable(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The student rows of a table arranged by setting, one per competitor and seed, and how many rivals were left out.

    Rows without a teacher were run once per student; they stand in the setting of every pair with that student.
    """
    rows = frame[frame["role"] == "student"].copy()
    rows["teacher_source"] = rows["teacher_digest"].where((rows["teacher"] != "") & (rows["teacher_cell"] == ""), "")
    single, left_out = _one_per_seed(rows)
    return _in_every_pair(single), left_out


def deviating(frame: pd.DataFrame, deviations: str) -> pd.DataFrame:
    """The rows with these deviations, and what else they may be compared with: a run that departs by its pair or its
    teacher alone shares its protocol with the benchmark, and so the student that has no teacher.
    """
    own = frame["deviations"] == deviations
    paired = frame[own & (frame["teacher"] != "")]
    known = pd.MultiIndex.from_frame(paired[[*BLOCK, "student"]].drop_duplicates())
    here = pd.MultiIndex.from_frame(frame[[*BLOCK, "student"]]).isin(known)
    return frame[own | (here & (frame["role"] == "student") & (frame["teacher"] == ""))]


def _one_per_seed(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Of several cells for one place (merged folders, another revision of a method) the latest that went well."""
    place = [*SETTING, *COMPETITOR, "seed"]
    ranked = rows.assign(_ok=rows["status"] == "ok").sort_values(["_ok", "finished_at", "cell"], kind="stable")
    kept = ranked.drop_duplicates(place, keep="last").sort_index().drop(columns="_ok")
    return kept, rows["cell"].nunique() - kept["cell"].nunique()


def _in_every_pair(rows: pd.DataFrame) -> pd.DataFrame:
    shared = [*BLOCK, "student"]
    alone, paired = rows[rows["teacher"] == ""], rows[rows["teacher"] != ""]
    pairs = paired[list(SETTING)].drop_duplicates()
    spread = alone.drop(columns=["teacher", "teacher_source"]).merge(pairs, on=shared, how="left")
    spread[["teacher", "teacher_source"]] = spread[["teacher", "teacher_source"]].fillna("")
    parts = [part for part in (paired, spread[rows.columns]) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else rows
