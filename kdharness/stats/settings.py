"""What may be compared with what: rows of the table arranged by setting.

A setting is (protocol, dataset, scenario, recipe, seeding, track, pair) of one benchmark. No statistic crosses a
setting's protocol or track, and a variant is a competitor of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.stats.revisions import superseded_by

# teacher_source: '' for teachers that the plan trains, a file's digest otherwise: another teacher of the same name.
BLOCK = ("benchmark", "protocol", "dataset", "scenario", "recipe", "seeding", "track")
SETTING = (*BLOCK, "teacher", "teacher_source", "student")
COMPETITOR = ("method", "variant")
# What names a protocol for people: several of one name are ranked apart.
ALIKE = tuple(name for name in BLOCK if name != "protocol")


def names_of(key: tuple[Hashable, ...]) -> dict[str, str]:
    """A group's key over SETTING as texts by column."""
    return {column: str(value) for column, value in zip(SETTING, key, strict=True)}


def competitor_of(row: Mapping[str, Any]) -> str:
    """'kd[temperature=2]'."""
    return f"{row['method']}[{row['variant']}]" if row["variant"] else str(row["method"])


def pair_of(row: Mapping[str, Any]) -> str:
    """'conv32:conv16', or the student alone."""
    return f"{row['teacher']}:{row['student']}" if row["teacher"] else str(row["student"])


def deviations_of(rows: pd.DataFrame) -> str:
    """How the rows' runs depart from their benchmark, each way once; '' for not at all."""
    return "; ".join(dict.fromkeys(text for text in rows["deviations"] if text))


def teacher_of(rows: pd.DataFrame) -> pd.Series[str]:
    """By row, the teacher or set of teachers that it rests on: their cells and the digest of their weights; "" for
    none.
    """
    named = rows["teacher_cell"].where(rows["teacher"] != "", "") + "@" + rows["teacher_digest"]
    return named.where((rows["teacher"] != "") & (named != "@"), "")


def teachers_behind(rows: pd.DataFrame) -> set[str]:
    """The different teachers, or sets of them, that rows rest on."""
    return set(teacher_of(rows)) - {""}


def as_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each row by column name."""
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def comparable(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The student rows of a table arranged by setting, one per competitor and seed, and how many rivals were left out.

    Rows without a teacher were run once per student; they stand in the setting of every pair with that student.
    """
    rows = with_teacher_source(frame[frame["role"] == STUDENT])
    single = _one_per_seed(rows[_superseded(rows) == ""])
    return _in_every_pair(single), rows["cell"].nunique() - single["cell"].nunique()


def superseded(frame: pd.DataFrame) -> pd.Series[str]:
    """By student row of a table, the revision that counts in its place; "" where that is its own."""
    return _superseded(with_teacher_source(frame[frame["role"] == STUDENT]))


def _superseded(rows: pd.DataFrame) -> pd.Series[str]:
    return superseded_by(rows, [*SETTING, *COMPETITOR])


def with_teacher_source(rows: pd.DataFrame) -> pd.DataFrame:
    """With the column `teacher_source`."""
    from_file = (rows["teacher"] != "") & (rows["teacher_cell"] == "")
    return rows.assign(teacher_source=rows["teacher_digest"].where(from_file, ""))


def deviating(frame: pd.DataFrame, deviations: str) -> pd.DataFrame:
    """The rows with these deviations, and what else they may be compared with: a run that departs by its pair or its
    teacher alone shares its protocol with the benchmark, and so the student that has no teacher.
    """
    own = frame["deviations"] == deviations
    paired = frame[own & (frame["teacher"] != "")]
    known = pd.MultiIndex.from_frame(paired[[*BLOCK, "student"]].drop_duplicates())
    here = pd.MultiIndex.from_frame(frame[[*BLOCK, "student"]]).isin(known)
    return frame[own | (here & (frame["role"] == STUDENT) & (frame["teacher"] == ""))]


def _one_per_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """One cell for each place: of several (merged folders), the latest that went well."""
    place = [*SETTING, *COMPETITOR, "seed"]
    if not rows.duplicated(place).any():
        return rows
    ranked = rows.assign(_ok=rows["status"] == "ok").sort_values(["_ok", "finished_at", "cell"], kind="stable")
    return ranked.drop_duplicates(place, keep="last").sort_index().drop(columns="_ok")


def _in_every_pair(rows: pd.DataFrame) -> pd.DataFrame:
    shared = [*BLOCK, "student"]
    alone, paired = rows[rows["teacher"] == ""], rows[rows["teacher"] != ""]
    pairs = paired[list(SETTING)].drop_duplicates()
    spread = alone.drop(columns=["teacher", "teacher_source"]).merge(pairs, on=shared, how="left")
    spread[["teacher", "teacher_source"]] = spread[["teacher", "teacher_source"]].fillna("")
    parts = [part for part in (paired, spread[rows.columns]) if len(part)]
    return pd.concat(parts, ignore_index=True) if parts else rows
