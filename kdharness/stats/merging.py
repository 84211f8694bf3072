"""Tables of several folders as one."""

from __future__ import annotations

import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.protocol.benchmark import STANDARD
from kdharness.stats.settings import ALIKE, comparable

SHARED = (
    ("kdharness_version", "releases of kdharness"),
    ("torch_version", "releases of torch"),
    ("fingerprint", "fingerprints (device, versions, precision)"),
)


def merge_tables(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Each cell once, the latest that went well; and what is to be warned of, one line each.

    Versions that differ are said; protocols stay apart by their column.
    """
    warnings = [*_versions(frame), *_protocols(frame)]
    ordered = frame.assign(_ok=frame["status"] == "ok").sort_values(["cell", "_ok", "finished_at"], kind="stable")
    once = ordered.drop_duplicates("cell", keep="last").sort_index().drop(columns="_ok").reset_index(drop=True)
    if len(once) < len(frame):
        warnings.append(f"cells in several folders: {len(frame) - len(once)}; the latest result of each counts")
    if rivals := comparable(once)[1]:
        warnings.append(f"cells superseded by others of the same method and seed: {rivals}; the latest counts")
    return once, tuple(warnings)


def _versions(frame: pd.DataFrame) -> list[str]:
    """What the measured cells do not share."""
    ok = frame[frame["status"] == "ok"]
    distinct = ((what, sorted(set(ok[name]) - {""})) for name, what in SHARED)
    return [f"results of several {what}: {', '.join(values)}" for what, values in distinct if len(values) > 1]


def _protocols(frame: pd.DataFrame) -> list[str]:
    """Where the same data has several protocols."""
    found = []
    students = frame[(frame["deviations"] == "") & (frame["role"] == STUDENT)]
    for names, group in students.groupby(list(ALIKE)):
        protocols = sorted(set(group["protocol"]))
        if len(protocols) > 1:
            where = " ".join(str(name) for name in names[:-1] if name != STANDARD)
            found.append(f"{where} has several protocols, ranked apart: {', '.join(protocols)}")
    return found
