"""The leaderboard of results folders: several read as one table, and the tables that a run writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kdharness.errors import UserError
from kdharness.planning.plan import Plan
from kdharness.results.store import ResultsFolder
from kdharness.results.table import metrics_table, table, write_csv
from kdharness.stats.claims import judge
from kdharness.stats.effects import effects_of
from kdharness.stats.merging import merge_tables
from kdharness.stats.standings import REFERENCES, leaderboard

CLAIMS_CSV = "claims.csv"
ABLATION_CSV = "ablation.csv"


@dataclass(frozen=True)
class Merged:
    """Several folders as one table. references, note: of their newest plans; warnings: one line each."""

    frame: pd.DataFrame
    references: tuple[str, ...]
    warnings: tuple[str, ...]
    note: str = ""


def merge(folders: Sequence[ResultsFolder]) -> Merged:
    """The folders' tables as one, each cell once.

    UserError when a folder's files are of another schema version.
    """
    frame, warnings = merge_tables(table(folders))
    newest = [plans[-1] for plans in (folder.plans() for folder in folders) if plans]
    note = " ".join(dict.fromkeys(plan.note for plan in newest if plan.note))
    return Merged(frame, _references(newest), warnings, note)


def references_of(folder: ResultsFolder) -> tuple[str, ...]:
    """The reference methods of the folder's newest plan; the usual ones where there is no plan."""
    return _references(folder.plans()[-1:])


def _references(plans: Sequence[Plan]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for plan in plans for name in plan.references)) or REFERENCES


def write_tables(folder: ResultsFolder) -> None:
    """Writes results.csv, metrics.csv and leaderboard.csv, each atomically; where there are claims or ablations,
    claims.csv and ablation.csv too. UserError when they cannot be written.
    """
    if not folder.plan_paths():
        raise UserError(f"{folder.path} has no plan; its tables cannot be made anew")
    frame, metrics, plans = table(folder), metrics_table(folder), folder.plans()
    write_csv(frame, folder.results_csv)
    write_csv(metrics, folder.metrics_csv)
    write_csv(leaderboard(frame, references_of(folder)), folder.leaderboard_csv)
    _write_or_remove(judge(plans[-1].claims if plans else (), frame, metrics), folder.path / CLAIMS_CSV)
    _write_or_remove(effects_of(plans, frame), folder.path / ABLATION_CSV)


def _write_or_remove(frame: pd.DataFrame, path: Path) -> None:
    if len(frame):
        write_csv(frame, path)
    else:
        path.unlink(missing_ok=True)
