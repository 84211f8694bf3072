"""What a report says, before it is known where: the same for terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kdharness.report.ablation import EFFECT_COLUMNS, effects_of
from kdharness.report.claims import CLAIM_COLUMNS, judge
from kdharness.report.exits import ExitsView, exits_of
from kdharness.report.leaderboard import ABLATION_CSV, CLAIMS_CSV, Merged, references_of, standings
from kdharness.report.privacy import PrivacyView, privacy_of
from kdharness.results.progress import summary_line
from kdharness.results.store import ResultsFolder
from kdharness.results.table import metrics_table, table
from kdharness.stats.overall import overall
from kdharness.stats.settings import BLOCK, COMPETITOR, SETTING, comparable, deviating
from kdharness.stats.summary import LEAST_FOR_INTERVAL

SELECTIONS = {"last": "last epoch", "val": "best on validation", "validation": "best on validation"}
TIMES = "\N{MULTIPLICATION SIGN}"
MOST_LISTED = 12
OVERALL_WORDS = "± half a 95 % interval over seeds; a pair counts where all planned seeds are done"


@dataclass(frozen=True)
class SettingView:
    """One ranking. board: rows of `standings` with at least one value, all of the same setting and deviations.

    members: name and top-1 of each teacher, where there are several.
    alike: names of competitors whose students gave the same numbers to the last digit, for every seed.
    """

    names: Mapping[str, str]
    deviations: str
    board: pd.DataFrame
    references: tuple[str, ...]
    protocols: int = 1
    members: tuple[tuple[str, float], ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()

    @property
    def pair(self) -> str:
        return f"{self.names['teacher']}:{self.names['student']}" if self.names["teacher"] else self.names["student"]

    @property
    def title(self) -> str:
        scenario = "" if self.names["scenario"] == "clean" else self.names["scenario"]
        source = f"teacher file {self.names['teacher_source'][:8]}" if self.names["teacher_source"] else ""
        protocol = f"protocol {self.names['protocol'][:8]}" if self.protocols > 1 else ""
        parts = (self.names["benchmark"], self.names["dataset"], scenario, self.pair, source, protocol)
        return " · ".join(dict.fromkeys(part for part in parts if part))

    @property
    def teacher_top1(self) -> float:
        return float(self.board["teacher_top1"].iloc[0])

    @property
    def measured(self) -> str:
        """How it was measured, on one line."""
        board = self.board
        selection = " | ".join(SELECTIONS.get(name, name) for name in _distinct(board["selection"]))
        prints = _distinct(board["fingerprint"])
        # A fingerprint names precision and release of torch.
        circumstances = prints[:1] or [*_distinct(board["precision"]), *_distinct(board["torch_version"])]
        more = [f"and {len(prints) - 1} other fingerprints"] if len(prints) > 1 else []
        seeds = "seeds " + " | ".join(_distinct(board["seeds"]))
        parts = [selection, seeds, *_distinct(board["device"]), *circumstances, *more]
        return " · ".join(part for part in parts if part)

    @property
    def compared(self) -> str:
        """How the gains and verdicts came about, on one line; '' without a reference."""
        if not self.references:
            return ""
        tests = int(self.board[f"gain_over_{self.references[-1]}_t_p_holm"].notna().sum())
        enough = bool((self.board["n"] >= LEAST_FOR_INTERVAL).any())
        interval = "± half a 95 % interval" if enough else f"no interval below {LEAST_FOR_INTERVAL} seeds"
        holm = f"; verdict against {self.references[-1]}, Holm over {tests}" if tests else ""
        return f"gains paired by seed, {interval}{holm}"

    @property
    def banner(self) -> str:
        """What a run that departs from its benchmark must say; '' for others."""
        if not self.deviations:
            return ""
        return f"deviates from the benchmark: {self.deviations}; not on the leaderboard"

    @property
    def remarks(self) -> list[str]:
        """What a reader must know to read the numbers right, one line each."""
        return [*self._teachers(), *self._same(), *self._unequal_seeds(), *self._fewer_in_gains(), *self._undecided()]

    def _teachers(self) -> list[str]:
        if not self.members:
            return []
        each = ", ".join(f"{name} {top1:.2f}" for name, top1 in self.members)
        return [f"each teacher: {each}; the heading's is their mean probability's"]

    def _same(self) -> list[str]:
        return [f"the same students, to the last digit of every seed: {', '.join(names)}" for names in self.alike]

    def _unequal_seeds(self) -> list[str]:
        common = self.board["seeds"].mode().iloc[0]
        others = self.board[self.board["seeds"] != common]
        if others.empty:
            return []
        listed = ", ".join(f"{name_of(row)} {row['seeds']}" for row in _rows(others))
        return [f"means are over different seeds: {listed}; the others {common}. Gains compare equal seeds."]

    def _fewer_in_gains(self) -> list[str]:
        found = []
        for reference in self.references:
            rows = _rows(self.board[self.board[f"gain_over_{reference}_n"].fillna(self.board["n"]) < self.board["n"]])
            if rows:
                listed = ", ".join(f"{name_of(row)} {row[f'gain_over_{reference}_n']}" for row in rows)
                found.append(f"seeds in common with {reference}: {listed}")
        return found

    def _undecided(self) -> list[str]:
        if not self.references:
            return []
        reference = self.references[-1]
        rows = _rows(self.board[self.board[f"gain_over_{reference}_verdict"] == "undecided"])
        if not rows:
            return []
        needs = [row[f"gain_over_{reference}_seeds_needed"] for row in rows]
        listed = [f"{name_of(r)} {'over 1000' if n is pd.NA else n}" for r, n in zip(rows, needs, strict=True)]
        return [f"undecided against {reference}; more seeds it would take, about: {', '.join(listed)}"]


@dataclass(frozen=True)
class OverallView:
    """Mean gains over the pairs of one protocol. rows: one per competitor, columns by reference ('kd_gain')."""

    title: str
    rows: pd.DataFrame
    references: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """Cells that share a status and a reason. what: methods with their number of cells, and pairs if several."""

    status: str
    count: int
    reason: str
    what: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All that is to be said of one benchmark folder (or of several, merged).

    claims: of `judge`; effects: of `effects_of`; exits: of `exits_of`; privacy: of
    `privacy_of`.
    """

    name: str
    settings: tuple[SettingView, ...]
    overalls: tuple[OverallView, ...]
    counts: Mapping[str, int]
    problems: tuple[Problem, ...] = ()
    note: str = ""
    stale: int = 0
    progress: str = ""
    files: tuple[Path, ...] = ()
    claims: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CLAIM_COLUMNS)))
    effects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(EFFECT_COLUMNS)))
    exits: tuple[ExitsView, ...] = ()
    privacy: tuple[PrivacyView, ...] = ()


def report_of(folder: ResultsFolder) -> Report:
    """The report on one folder, finished or not."""
    frame, metrics, references = table(folder), metrics_table(folder), references_of(folder)
    plans, progress = folder.plans(), folder.running()
    known = folder.records()
    planned = folder.planned()
    now = {key for group in (progress or {}).get("running", ()) for key in group.get("cells", ())}
    shown = frame.assign(status=frame["status"].where(~frame["cell"].isin(now), "running"))
    more = (folder.path / CLAIMS_CSV, folder.path / ABLATION_CSV)
    paths = (folder.results_csv, folder.metrics_csv, folder.leaderboard_csv, *more)
    return Report(
        name=folder.name,
        settings=settings_of(frame, references),
        overalls=overalls_of(frame, references),
        counts=counts_of(shown),
        problems=problems_of(shown),
        note=plans[-1].note if plans else "",
        stale=sum(key not in planned for key in known) if plans else 0,
        progress=summary_line(progress) if progress else "",
        files=tuple(path for path in paths if path.is_file()),
        claims=judge(plans[-1].claims if plans else (), frame, metrics),
        effects=effects_of(plans, frame),
        exits=exits_of(frame, metrics),
        privacy=privacy_of(frame),
    )


def ranking_of(merged: Merged) -> Report:
    """The leaderboard alone, of one or several folders: what deviates from its benchmark is left out."""
    frame = merged.frame[merged.frame["deviations"] == ""]
    return Report(
        name=", ".join(dict.fromkeys(frame["benchmark"])),
        settings=settings_of(frame, merged.references),
        overalls=overalls_of(frame, merged.references),
        counts=counts_of(frame),
        note=merged.note,
    )


def settings_of(frame: pd.DataFrame, references: Sequence[str]) -> tuple[SettingView, ...]:
    """Rankings of what follows its benchmark first, then of what deviates; each time the longest first."""
    views = []
    protocols = frame.groupby(["benchmark", "dataset", "scenario", "deviations"])["protocol"].nunique().to_dict()
    for deviations in sorted(set(frame["deviations"])):
        board = standings(deviating(frame, deviations) if deviations else frame[frame["deviations"] == ""], references)
        for key, rows in board[board["n"] > 0].groupby(list(SETTING)):
            names = {name: str(value) for name, value in zip(SETTING, key, strict=True)}
            useful = tuple(r for r in references if rows[f"gain_over_{r}"].notna().any())
            count = protocols[names["benchmark"], names["dataset"], names["scenario"], deviations]
            board_of = rows.reset_index(drop=True)
            more = (_members(frame, names), _alike(frame, names, board_of))
            views.append(SettingView(names, deviations, board_of, useful, count, *more))
    return tuple(sorted(views, key=lambda view: (view.deviations, -len(view.board))))


def _members(frame: pd.DataFrame, names: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    """Name and top-1 of each of a setting's teachers, where they are several and were trained here."""
    models = names["teacher"].split("+")
    if len(models) == 1:
        return ()
    columns = [name for name in (*BLOCK, "teacher", "student") if name in frame]
    here = pd.concat([frame[name] == names[name] for name in columns], axis=1).all(axis=1)
    keys = {key for cells in frame.loc[here, "teacher_cell"] for key in str(cells).split("+")}
    rows = frame[frame["cell"].isin(keys) & frame["top1"].notna()]
    found = dict(zip(rows["student"], rows["top1"].astype(float), strict=True))
    return tuple((name, found[name]) for name in models if name in found)


def _alike(frame: pd.DataFrame, names: Mapping[str, str], board: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Competitors of a setting whose top-1, likelihood and calibration are equal, seed by seed."""
    rows = comparable(frame)[0]
    rows = rows[(rows["status"] == "ok") & pd.concat([rows[n] == names[n] for n in SETTING], axis=1).all(axis=1)]
    shown = {(row["method"], row["variant"]): name_of(row) for row in _rows(board)}
    groups: dict[tuple[tuple[float, ...], ...], list[str]] = {}
    for competitor, cells in rows.groupby(list(COMPETITOR)):
        numbers = cells.sort_values("seed")[["seed", "top1", "nll", "ece"]].astype(float).dropna()
        if competitor in shown and len(numbers):
            groups.setdefault(tuple(numbers.itertuples(index=False, name=None)), []).append(shown[competitor])
    return tuple(tuple(alike) for alike in groups.values() if len(alike) > 1)


def overalls_of(frame: pd.DataFrame, references: Sequence[str]) -> tuple[OverallView, ...]:
    """For each protocol with several pairs, the competitors by mean gain over the last reference that has gains."""
    rows = comparable(frame[frame["deviations"] == ""])[0]
    key = [*BLOCK, "regime", *COMPETITOR, "pairs_planned"]
    tables = {reference: overall(rows, reference) for reference in references}
    views = []
    for names, block in rows.groupby(list(BLOCK)):
        found: pd.DataFrame | None = None
        useful = []
        for reference, gains in tables.items():
            ours = gains[(gains[list(BLOCK)] == list(names)).all(axis=1) & (gains["pairs_planned"] > 1)]
            if ours["gain"].notna().any():
                useful.append(reference)
                renamed = ours.drop(columns=["sd", "seeds"]).rename(
                    columns={name: f"{reference}_{name}" for name in ("gain", "n", "pairs", "ci_low", "ci_high")}
                )
                found = renamed if found is None else found.merge(renamed, on=key, how="outer")
        if found is not None:
            kept = _by_gain(found, useful)
            pairs = len(block[["teacher", "teacher_source", "student"]].drop_duplicates())
            parts = [str(part) for part in names[:1] + names[2:] if part != "clean"]
            title = " · ".join(dict.fromkeys([*parts, f"mean gain over {pairs} pairs"]))
            views.append(OverallView(title, kept, tuple(useful)))
    return tuple(views)


def _by_gain(found: pd.DataFrame, references: Sequence[str]) -> pd.DataFrame:
    """Best first by the last reference, which itself stands at zero; what lacks pairs below what has all of them."""
    measured = found[[f"{name}_gain" for name in references]].notna().any(axis=1)
    own = (found["method"] == references[-1]) & (found["variant"] == "")
    gain = found[f"{references[-1]}_gain"].mask(own, 0.0)
    pairs = found[[f"{name}_pairs" for name in references]].max(axis=1)
    ordered = found.assign(_gain=gain, _lacking=found["pairs_planned"] - pairs)[measured]
    ascending = [True, True, False, True, True]
    ordered = ordered.sort_values(["regime", "_lacking", "_gain", *COMPETITOR], ascending=ascending, ignore_index=True)
    return ordered.drop(columns=["_gain", "_lacking"])


def counts_of(frame: pd.DataFrame) -> dict[str, int]:
    return {str(status): int(count) for status, count in frame["status"].value_counts().sort_index().items()}


def problems_of(frame: pd.DataFrame) -> tuple[Problem, ...]:
    """Cells that are not ok, and those that are but lack a metric that raised; those with the same status and reason
    together, what failed first.
    """
    order = ("failed", "oom", "timeout", "not_run", "interrupted", "running", "incomplete", "skipped")
    lacking = (frame["status"] == "ok") & (frame["error_message"] != "")
    rows = frame.assign(status=frame["status"].mask(lacking, "incomplete"))
    rows = rows[rows["status"] != "ok"]
    several = rows[["teacher", "student"]].drop_duplicates().shape[0] > 1
    problems = []
    for (status, kind, message), group in rows.groupby(["status", "error_type", "error_message"]):
        reason = ": ".join(str(part) for part in (kind, message) if part)
        problems.append(Problem(str(status), len(group), reason, tuple(_listed(group, several))))
    return tuple(sorted(problems, key=lambda p: (order.index(p.status), -p.count, p.reason)))


def name_of(row: Mapping[str, Any]) -> str:
    """'kd[temperature=2]'."""
    return f"{row['method']}[{row['variant']}]" if row["variant"] else str(row["method"])


def _listed(group: pd.DataFrame, several: bool) -> list[str]:
    names = []
    for row in _rows(group):
        pair = f"{row['teacher']}:{row['student']}" if row["teacher"] else row["student"]
        name = f"teacher {row['student']}" if row["role"] == "teacher" else name_of(row)
        names.append(f"{name} {pair}" if several and row["role"] != "teacher" else name)
    counts = pd.Series(names).value_counts(sort=False)
    found = [f"{name} {TIMES}{count}" if count > 1 else str(name) for name, count in counts.items()]
    return found if len(found) <= MOST_LISTED else [*found[:MOST_LISTED], f"and {len(found) - MOST_LISTED} more"]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _distinct(values: pd.Series[Any]) -> list[str]:
    return [str(v) for v in dict.fromkeys(values) if v]
