"""What the tables of a reference say in words: every number and every verdict comes out of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import StrictUndefined
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment
from tables import Reference

from kdharness.errors import UnknownName, UserError
from kdharness.report.sections.answers import answers_grid, corrected_over
from kdharness.stats.answers import Answer
from kdharness.stats.paired import Verdict
from kdharness.stats.settings import SETTING, as_dicts, competitor_of
from kdharness.text import seeds_text

WORDS = Path(__file__).resolve().parent / "words"
TITLES = {
    Answer.HOLDS: "Holds",
    Answer.FAILS: "Does not hold",
    Answer.UNDECIDED: "Undecided",
}
# The area under the curve of an attack that guesses.
CHANCE = 0.5
# A number that stands by itself, neither part of a name nor in code.
_NUMBER = re.compile(r"(?<![\w.`-])\d+(?:[.,]\d+)*(?![\w`-])")
_FILLED = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|`[^`]*`", re.DOTALL)


def section_of(reference: Reference, words: Path = WORDS) -> str:
    """The part of results/README.md on one benchmark."""
    parts = [f"### {reference.name}", _measured(reference)]
    template = words / f"{reference.name}.md"
    if template.is_file():
        parts.append(filled(template, reference))
    parts += _answers(reference)
    return "\n\n".join(parts)


def _measured(reference: Reference) -> str:
    frame = reference.frame
    ok, students = frame[frame["status"] == "ok"], frame[frame["role"] == "student"]
    seeds = seeds_text(sorted(set(students["seed"].astype(int))))
    drawn = " or ".join(text.replace("+", ", ") for text in sorted(set(students["seeding"])))
    skipped = len(frame) - len(ok)
    cells = f"{len(ok)} cells{f', {skipped} skipped' if skipped else ''}; seeds {seeds}, each draws anew: {drawn}"
    release, fingerprint = ok["kdharness_version"].iloc[0], ok["fingerprint"].iloc[0]
    return (
        f"{reference.plan.summary or reference.name}. {cells}. kdharness {release}, {fingerprint}. "
        f"Tables in [`reference/{reference.name}`](reference/{reference.name})."
    )


# -- claims ------------------------------------------------------------------------------------------------------------


def _answers(reference: Reference) -> Iterator[str]:
    judged = reference.claims
    lines = list(_claim_lines(judged[judged["n"] > 0]))
    for answer, title in TITLES.items():
        listed = [line for found, line in lines if found == answer]
        if listed:
            yield f"**{title}**\n\n" + "\n".join(listed)
    unmeasured = judged[judged["answer"] == Answer.UNMEASURED]
    if len(unmeasured):
        rows = as_dicts(unmeasured)
        yield "**Not measured**\n\n" + "\n".join(f"- {row['claim']} ({row['reason']})" for row in rows)
    yield from (f"{line[0].upper()}{line[1:]}." for line in corrected_over(judged))


def _claim_lines(judged: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Each answer with its line: the words of the reports."""
    grid = answers_grid(judged)
    headers = [column.header for column in grid.columns]
    for row, answer in zip(grid.rows, judged["answer"], strict=True):
        cells = dict(zip(headers, row, strict=True))
        shown, claim, compared = cells.pop("answer"), cells.pop("claim"), cells.pop("compared")
        more = "" if shown == answer else f"{shown}, "
        numbers = ", ".join(f"{name} {value}" for name, value in cells.items() if value)
        yield str(answer), f"- {claim.rstrip('.')}: {more}`{compared}`, {numbers}."


# -- words -------------------------------------------------------------------------------------------------------------


def filled(template: Path, reference: Reference) -> str:
    """A template with its numbers. UserError for one that states a number itself, or asks for what there is not."""
    text = template.read_text(encoding="utf-8")
    if found := _NUMBER.search(_FILLED.sub("", text)):
        raise UserError(f"{template.name}: the number {found.group()} comes from no table; write {{{{ ... }}}}")
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)
    try:
        said = environment.from_string(text).render(**_functions(reference))
    except TemplateError as error:
        raise UserError(f"{template.name}: {error}") from error
    # Lines of a template end where its calls do; those of a paragraph are one.
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in said.strip().split("\n\n"))


def _functions(reference: Reference) -> dict[str, Callable[..., str]]:
    """What a template may call."""

    def number(method: str, column: str = "top1_mean", digits: int = 1, **setting: str) -> str:
        """A column of leaderboard.csv: number("kd", "gain_over_vanilla", scenario="noise40")."""
        return _digits(_one(reference.board, "method", method, _of(reference.board, method), setting)[column], digits)

    def mean(method: str, column: str, digits: int = 1, **setting: str) -> str:
        """The mean over seeds of a column of results.csv."""
        rows = reference.frame[reference.frame["role"] == "student"]
        rows = _narrowed(rows[_of(rows, method)], setting)
        if rows.empty:
            raise UnknownName("method", method, sorted(set(map(competitor_of, as_dicts(reference.frame)))))
        return _digits(pd.to_numeric(rows[column]).mean(), digits)

    def claim(text: str, **setting: str) -> dict[str, Any]:
        judged = reference.claims
        return _one(judged, "claim", text, judged["claim"].str.rstrip(".") == text.rstrip("."), setting)

    def difference(text: str, digits: int = 1, **setting: str) -> str:
        """Of a claim, with half its interval: '+1.8 ± 1.1'."""
        row = claim(text, **setting)
        half = _digits((row["ci_high"] - row["ci_low"]) / 2, digits)
        return f"{row['difference']:+.{digits}f} ± {half}"

    def says(text: str, holds: str, fails: str, undecided: str, unmeasured: str = "", **setting: str) -> str:
        """The one of these wordings that is the claim's answer."""
        wordings = {Answer.HOLDS: holds, Answer.FAILS: fails, Answer.UNDECIDED: undecided}
        return wordings.get(Answer(claim(text, **setting)["answer"]), unmeasured)

    def attacked(network: str, told: str, untold: str, attack: str = "lira") -> str:
        """Of "teacher" or "student": one of these wordings, told where the interval of any row's area lies above
        chance, and the area under the attack's curve, or the range of rows.
        """
        rows = reference.audit
        rows = rows[(rows["network"] == network) & (rows["attack"] == attack)]
        if rows.empty:
            raise UnknownName("attacked network", network, sorted(set(reference.audit["network"])))
        areas = sorted({_digits(area, 2) for area in rows["auc"]})
        shown = areas[0] if len(areas) == 1 else f"{areas[0]} to {areas[-1]}"
        return f"{told if (rows['auc_low'] > CHANCE).any() else untold} (area {shown})"

    def told(verdict: str, reference_method: str = "kd", **setting: str) -> str:
        """The methods of a setting with this verdict against a reference, best first: "`dkd`, `fitnet`"; or "none"."""
        board = _narrowed(reference.board, setting)
        names = [f"`{competitor_of(row)}`" for row in as_dicts(_told(board, verdict, reference_method))]
        return ", ".join(names) or "none"

    return {
        "number": number, "mean": mean, "difference": difference, "says": says, "attacked": attacked, "told": told,
    }  # fmt: skip


def _told(board: pd.DataFrame, verdict: str, reference: str) -> pd.DataFrame:
    """The rows with a verdict. UserError where the board has several settings, or no such reference."""
    if verdict not in list(Verdict):
        raise UserError(f"'{verdict}' is not a valid Verdict: {', '.join(filter(None, Verdict))}")
    column = f"gain_over_{reference}_verdict"
    if column not in board:
        raise UnknownName("reference", reference, [name[10:-8] for name in board if name.endswith("_verdict")])
    if len(board[list(SETTING)].drop_duplicates()) != 1:
        raise UserError(f"verdicts against {reference} are of several settings; name one")
    return board[board[column] == verdict]


def _of(rows: pd.DataFrame, method: str) -> pd.Series[bool]:
    return pd.Series([competitor_of(row) == method for row in as_dicts(rows)], index=rows.index, dtype=bool)


def _narrowed(rows: pd.DataFrame, setting: dict[str, str]) -> pd.DataFrame:
    for column, value in setting.items():
        rows = rows[rows[column] == value]
    return rows


def _one(table: pd.DataFrame, what: str, name: str, wanted: pd.Series[bool], setting: dict[str, str]) -> dict[str, Any]:
    """The one row that is meant. UserError for none or several."""
    found = _narrowed(table[wanted], setting)
    if len(found) == 1:
        return as_dicts(found)[0]
    if not wanted.any():
        known = table[what] if what == "claim" else map(competitor_of, as_dicts(table))
        raise UnknownName(what, name, sorted(set(known)))
    raise UserError(f"{what} '{name}' has {len(found)} rows{f' of {setting}' if setting else ''}; name its setting")


def _digits(value: float, digits: int) -> str:
    if pd.isna(value) or math.isinf(value):
        raise UserError("a number that was not measured stands in the words")
    return f"{value:.{digits}f}"
