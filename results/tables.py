"""The folders under results/reference/: what one must hold, and why a run's folder cannot become one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path

import pandas as pd

from kdharness.errors import UserError
from kdharness.planning.plan import Plan
from kdharness.protocol.benchmark import available
from kdharness.results.files import dumps, write_atomic
from kdharness.results.foreign_rows import sound_rows
from kdharness.results.formulas import guard
from kdharness.results.store import ResultsFolder
from kdharness.results.table import frame_of, write_csv
from kdharness.stats.board import leaderboard
from kdharness.stats.claims import judge

ROOT = Path(__file__).resolve().parent
CODE = ("kdharness", "plugins", "benchmarks")

# The benchmarks that are run for reference.
NAMES = ("byot-small", "meal-small", "meal-noise", "rona-small", "rona-audit", "byot-cifar", "meal-cifar", "rona-cifar")
PLAN = "plan.json"
TABLES = ("results.csv", "metrics.csv", "leaderboard.csv", "claims.csv")
# Nothing else is ever copied, so that what a run keeps under `private/` stays where it is.
KEPT = (*TABLES, "ablation.csv", "audit.csv", PLAN)
ROUNDING = 1e-6


@dataclass(frozen=True)
class Reference:
    """The tables of one benchmark, read from its folder under results/reference/."""

    folder: Path

    @property
    def name(self) -> str:
        """The benchmark's."""
        return self.folder.name

    @cached_property
    def frame(self) -> pd.DataFrame:
        """results.csv."""
        return frame_of(sound_rows(self.folder / "results.csv"))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        return pd.read_csv(self.folder / "metrics.csv", keep_default_na=False, na_values={"value": [""]})

    @cached_property
    def audit(self) -> pd.DataFrame:
        """audit.csv. UserError where membership was no coin, so that there is none."""
        path = self.folder / "audit.csv"
        if not path.is_file():
            raise UserError(f"{self.name} has no audit.csv")
        return pd.read_csv(path, keep_default_na=False, na_values={"auc": [""], "auc_low": [""], "auc_high": [""]})

    @cached_property
    def plan(self) -> Plan:
        return Plan.from_json(json.loads((self.folder / PLAN).read_text(encoding="utf-8")))

    @cached_property
    def board(self) -> pd.DataFrame:
        """What leaderboard.csv must say."""
        return leaderboard(self.frame, self.plan.references)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """What claims.csv must say."""
        return judge(self.plan.claims, self.frame, self.metrics)

    def derive(self) -> None:
        """Writes leaderboard.csv and claims.csv anew from the two others, after statistics or columns changed."""
        write_csv(self.board, self.folder / "leaderboard.csv")
        write_csv(self.claims, self.folder / "claims.csv")

    def faults(self) -> Iterator[str]:
        """What is wrong with the folder, one line each."""
        lacking = [name for name in (*TABLES, PLAN) if not (self.folder / name).is_file()]
        if lacking:
            yield f"{self.name}: it lacks {', '.join(lacking)}"
            return
        yield from (f"{self.name}: {path.name} does not belong there" for path in _strangers(self.folder))
        yield from (f"{self.name}: {line}" for line in faults_of(self.frame))
        if {planned.cell.key for planned in self.plan.cells} != set(self.frame["cell"]):
            yield f"{self.name}: results.csv has other cells than {PLAN}"
        for name, expected in (("leaderboard.csv", self.board), ("claims.csv", self.claims)):
            if not same_table(self.folder / name, expected):
                yield f"{self.name}: {name} is not what results.csv and metrics.csv give"


def references(folder: Path = ROOT / "reference") -> list[Reference]:
    """Those that are there, in the order of NAMES, others after them."""
    found = [Reference(path) for path in sorted(folder.glob("*")) if path.is_dir()]
    order = {name: position for position, name in enumerate(NAMES)}
    return sorted(found, key=lambda each: (order.get(each.name, len(NAMES)), each.name))


def missing(folder: Path = ROOT / "reference") -> list[str]:
    """Benchmarks that are there to be run for reference, and have not been."""
    return [name for name in NAMES if name in available() and not (folder / name).is_dir()]


def faults_of(frame: pd.DataFrame) -> Iterator[str]:
    """Why a table is no reference, one line each."""
    ok = frame[frame["status"] == "ok"]
    for column, what in (("fingerprint", "fingerprints"), ("kdharness_version", "releases")):
        if len(values := sorted(set(ok[column]))) != 1:
            yield f"it must have one of {what}, and has {len(values)}: {', '.join(values)}"
    edited = sorted({f"{m} {r}" for m, r in zip(frame["method"], frame["method_revision"], strict=True) if "+" in r})
    if edited:
        yield f"code that was edited and is in no lock: {', '.join(edited)}"
    dirty = sorted({version for version in ok["kdharness_version"] if "+" in version})
    if dirty:
        yield f"no release and no commit: kdharness {', '.join(dirty)}"
    undone = frame[~frame["status"].isin(("ok", "skipped"))]
    for status, cells in undone.groupby("status"):
        yield f"{len(cells)} cells are {status}: {', '.join(sorted(set(cells['method'])))}"
    if departs := sorted(set(frame["deviations"]) - {""}):
        yield f"it deviates from its benchmark: {'; '.join(departs)}"


def keep(run: Path, root: Path = ROOT / "reference") -> Path:
    """Copies a run's tables to results/reference/NAME and says where. UserError with all that stands against it."""
    contents = ResultsFolder(run).load()
    plan = contents.newest
    if plan is None:
        raise UserError(f"{run} has no plan: it is no run's folder")
    faults = [*faults_of(contents.frame), *contents.doubts, *uncommitted()]
    if {planned.cell.key for planned in plan.cells} != set(contents.planned):
        faults.append("its cells were asked for by several commands; one must ask for all of them")
    if len(plan.claims) == 0:
        faults.append("its benchmark makes no claim")
    if plan.benchmark not in available():
        faults.append(f"'{plan.benchmark}' is no benchmark that comes with kdharness")
    faults += [f"it has no {name}" for name in TABLES if not (run / name).is_file()]
    if faults:
        raise UserError(f"{run} cannot be a reference: {'; '.join(faults)}")
    target = root / plan.benchmark
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in KEPT:
        if name != PLAN and (run / name).is_file():
            shutil.copyfile(run / name, target / name)
    write_atomic(target / PLAN, dumps(plan.to_json()) + "\n")
    return target


def uncommitted() -> list[str]:
    """A line where the code beside this file is not that of a commit; none where nothing can be known of it."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT.parent), "status", "--porcelain", "--", *CODE],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return []
    changed = [line[3:] for line in done.stdout.splitlines()]
    return [f"code is not committed: {', '.join(changed[:5])}"] if changed else []


def same_table(path: Path, expected: pd.DataFrame) -> bool:
    """Whether a CSV file says what a table does, numbers but for rounding."""
    kept = pd.read_csv(path, dtype=str, keep_default_na=False)
    texts = expected.map(lambda value: guard(value) if isinstance(value, str) else value)
    wanted = pd.read_csv(StringIO(texts.to_csv(index=False)), dtype=str, keep_default_na=False)
    if list(kept) != list(wanted) or len(kept) != len(wanted):
        return False
    pairs = zip(kept.to_numpy().ravel(), wanted.to_numpy().ravel(), strict=True)
    return all(a == b or _close(a, b) for a, b in pairs)


def _close(a: str, b: str) -> bool:
    try:
        return abs(float(a) - float(b)) <= ROUNDING * max(1.0, abs(float(b)))
    except ValueError:
        return False


def _strangers(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.name not in KEPT]
