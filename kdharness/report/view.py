"""What a report says, before it is known where: the same for terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from kdharness.report.appendix import Appendix, appendix_of
from kdharness.report.charts.charts import Charts, charts_of
from kdharness.report.charts.evidence import FolderEvidence
from kdharness.report.leaderboard import Merged, references_of
from kdharness.report.sections.section import Section
from kdharness.results.contents import RUNNING, Contents
from kdharness.results.notes import Subject
from kdharness.results.origins import origin_of
from kdharness.results.progress import summary_line
from kdharness.stats.audit import SettingAudit, audits_of
from kdharness.stats.board import NONE
from kdharness.stats.claims import CLAIM_COLUMNS, judge
from kdharness.stats.effects import EFFECT_COLUMNS, effects_of
from kdharness.stats.exits import MethodExits, exits_of
from kdharness.stats.former_rows import FormerCells, former_cells
from kdharness.stats.outcomes import Problem, problems_of
from kdharness.stats.overall import Overall, overalls
from kdharness.stats.plugin_columns import PluginColumn, PluginColumns, columns_of_rankings
from kdharness.stats.privacy import SettingPrivacy, privacy_of
from kdharness.stats.published import PublishedBeside, published_beside
from kdharness.stats.rankings import Ranking, rankings
from kdharness.stats.recipes import RecipesBeside, recipes_beside
from kdharness.stats.spread import SettingSpread, spreads_of
from kdharness.text import plain, printable


@dataclass(frozen=True)
class Report:
    """All that is to be said of one benchmark folder, or of several, merged.

    name: the benchmark's.
    rankings: one for each setting.
    overalls: mean gains over pairs, one for each protocol.
    problems: what did not go well.
    note: the benchmark's sentence above the table.
    notes: sentences that stand with the rankings of their dataset alone.
    stale: how many results no plan produces any more, or were trained with weights that are others now.
    traces: by cell of each problem, where in a plugin it failed and where its traceback lies; what has none is absent.
    doubts: what cannot be trusted of the folder, one line each.
    progress: of a run at work; "" for none.
    files: the tables beside it.
    claims: of `judge`.
    effects: of `effects_of`.
    exits: of methods with several outputs.
    privacy: of settings with private images.
    audits: of those in which membership is a coin.
    recipes: of settings that were run under several.
    spreads: of settings in which students were trained under several teachers.
    published: what others published of the same, where that is asked for.
    charts: figures beside the rankings and the mean gains, where they are asked for.
    made: sections that a command made itself.
    appendix: for those who look closer, where it is asked for.
    added: of each ranking, the columns that plugins add to the leaderboard, where they are asked for.
    former: cells of revisions of methods that others supersede.
    """

    name: str
    rankings: tuple[Ranking, ...]
    overalls: tuple[Overall, ...]
    problems: tuple[Problem, ...] = ()
    note: str = ""
    notes: Mapping[Subject, str] = field(default_factory=dict)
    stale: int = 0
    traces: Mapping[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    progress: str = ""
    files: tuple[Path, ...] = ()
    claims: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CLAIM_COLUMNS)))
    effects: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(EFFECT_COLUMNS)))
    exits: tuple[MethodExits, ...] = ()
    privacy: tuple[SettingPrivacy, ...] = ()
    audits: tuple[SettingAudit, ...] = ()
    recipes: tuple[RecipesBeside, ...] = ()
    spreads: tuple[SettingSpread, ...] = ()
    published: tuple[PublishedBeside, ...] = ()
    charts: Charts = field(default_factory=Charts)
    made: tuple[Section, ...] = ()
    appendix: Appendix = field(default_factory=Appendix)
    added: tuple[tuple[PluginColumn, ...], ...] = ()
    former: FormerCells = field(default_factory=FormerCells)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured that it could show."""
        return not self.rankings and not self.made


def report_of(
    contents: Contents,
    published: bool = False,
    figures: bool = False,
    appendix: bool = False,
    added: PluginColumns = NONE,
) -> Report:
    """The report on one folder, finished or not.

    published: whether others' numbers stand beside. figures: whether those are made that need the files of all cells.
    appendix: whether there is one. added: the columns of plugins.
    """
    frame, metrics, references = contents.frame, contents.metrics_frame, references_of(contents)
    progress = contents.progress
    ranked, means = rankings(frame, references), overalls(frame, references)
    problems = problems_of(_with_running(frame, contents.running))
    return Report(
        name=printable(contents.name),
        rankings=ranked,
        overalls=means,
        problems=problems,
        traces=_traces(contents, problems),
        note=plain(contents.note),
        notes=contents.notes,
        stale=contents.head.left_out,
        doubts=tuple(map(printable, contents.doubts)),
        progress=summary_line(progress) if progress else "",
        files=contents.tables.written(),
        claims=judge(contents.claims, frame, metrics),
        effects=effects_of(contents.ablations, frame),
        exits=exits_of(frame, metrics),
        privacy=privacy_of(frame),
        audits=audits_of(frame, contents.audits),
        recipes=recipes_beside(ranked),
        spreads=spreads_of(frame),
        published=published_beside(frame, contents.planned) if published else (),
        charts=charts_of(frame, ranked, means, FolderEvidence(contents)) if figures else Charts(),
        appendix=appendix_of(contents, frame, ranked, problems, added) if appendix else Appendix(),
        added=columns_of_rankings(frame, ranked, added),
        former=former_cells(frame),
    )


def _with_running(frame: pd.DataFrame, running: Collection[str]) -> pd.DataFrame:
    """What is at work has ended in no way yet, whatever was found of its begun record."""
    at_work = frame["cell"].isin(running)
    told = {column: frame[column].mask(at_work, "") for column in ("error_type", "error_message")}
    return frame.assign(status=frame["status"].mask(at_work, RUNNING), **told)


def _traces(contents: Contents, problems: Iterable[Problem]) -> dict[str, str]:
    found = {}
    for problem in problems:
        record = contents.record(problem.cell)
        if record is not None and record.traceback:
            where = f"traceback in {contents.files_of(problem.cell).traceback}"
            found[problem.cell] = printable(", ".join(filter(None, (origin_of(record.traceback), where))))
    return found


def ranking_of(merged: Merged, added: PluginColumns = NONE) -> Report:
    """The leaderboard alone, of one or several folders: what deviates from its benchmark is left out.

    added: the columns of plugins.
    """
    frame = merged.frame[merged.frame["deviations"] == ""]
    ranked = rankings(frame, merged.references)
    return Report(
        name=", ".join(dict.fromkeys(frame["benchmark"])),
        rankings=ranked,
        overalls=overalls(frame, merged.references),
        note=plain(merged.note),
        notes=merged.notes,
        privacy=privacy_of(frame),
        recipes=recipes_beside(ranked),
        added=columns_of_rankings(frame, ranked, added),
        former=former_cells(frame),
    )
