"""Tables of several folders as one."""

from __future__ import annotations

import pandas as pd

from kdharness.planning.cell import STUDENT
from kdharness.protocol.benchmark import STANDARD
from kdharness.results.budgets import SECRET
from kdharness.stats.settings import ALIKE, comparable

SHARED = (
    ("kdharness_version", "releases of kdharness"),
    ("torch_version", "releases of torch"),
    ("fingerprint", "fingerprints (device, versions, precision)"),
)


def merge_tables(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Each cell once, the latest that went well, or the earliest where its noise is secret, for the others are further
    releases; and what is to be warned of, one line each.

    Versions that differ are said; protocols stay apart by their column.
    """
    warnings = [*versions(frame), *_protocols(frame)]
    own, drawn_again = _first_releases(frame)
    doubled = own.duplicated(["cell", "track"])
    once = (_latest(own) if doubled.any() else own).reset_index(drop=True)
    if doubled.any():
        several = own.loc[doubled, "cell"].nunique()
        warnings.append(f"cells in several folders: {several}; the latest result of each counts")
    if drawn_again:
        what = f"cells with secret noise in several folders: {drawn_again}; each is a release of its own"
        warnings.append(f"{what}, which spent more than is stated, and the earliest counts")
    if rivals := comparable(once)[1]:
        warnings.append(f"cells superseded by others of the same method and seed: {rivals}; the latest counts")
    return once, tuple(warnings)


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of rows of one cell and track the latest that went well."""
    # Of two that ended in the same second the same one counts, whichever folder is named first.
    sort = ["cell", "_ok", "finished_at", "_all"]
    ordered = frame.assign(_ok=frame["status"] == "ok", _all=_contents(frame)).sort_values(sort, kind="stable")
    latest = ordered.drop_duplicates(["cell", "track"], keep="last")
    return latest.sort_index().drop(columns=["_ok", "_all"])


def _contents(frame: pd.DataFrame) -> pd.Series[str]:
    """Of rows that are there several times, each as one text."""
    several = frame[frame.duplicated(["cell", "track"], keep=False)]
    texts = [repr(row) for row in several.itertuples(index=False, name=None)]
    return pd.Series(texts, index=several.index, dtype="object").reindex(frame.index, fill_value="")


def _first_releases(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Without what was trained again, with other noise; how many trainings that were."""
    secret = frame[(frame["noise"] == SECRET) & (frame["status"] == "ok")]
    if secret.empty:
        return frame, 0
    ordered = secret.sort_values(["cell", "finished_at"], kind="stable")
    # What tells a training from a copy of its folder.
    trainings = pd.Series(
        list(ordered[["started_at", "finished_at", "top1", "nll"]].itertuples(index=False, name=None))
    )
    trainings.index = ordered.index
    further = trainings[trainings != trainings.groupby(ordered["cell"]).transform("first")]
    return frame.drop(index=further.index), len(set(zip(ordered["cell"][further.index], further, strict=True)))


def versions(frame: pd.DataFrame) -> list[str]:
    """What the measured cells do not share, one line each."""
    ok = frame[frame["status"] == "ok"]
    distinct = ((what, sorted(set(ok[name]) - {""})) for name, what in SHARED)
    return [f"results of several {what}: {', '.join(values)}" for what, values in distinct if len(values) > 1]


def _protocols(frame: pd.DataFrame) -> list[str]:
    """Where the same data has several protocols."""
    found = []
    students = frame[(frame["deviations"] == "") & (frame["role"] == STUDENT)]
    for names, group in students[[*ALIKE, "protocol"]].drop_duplicates().groupby(list(ALIKE)):
        protocols = sorted(group["protocol"])
        if len(protocols) > 1:
            where = " ".join(str(name) for name in names[:-2] if name != STANDARD)
            found.append(f"{where} has several protocols, ranked apart: {', '.join(protocols)}")
    return found
