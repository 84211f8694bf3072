"""The columns of leaderboard.csv: what each is called, what it holds, and what it means.

results/README.md shows them as a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

DType = Literal["text", "integer", "float", "boolean"]

# Raised by hand when a column goes, or changes its name, type, unit or meaning. A column that is added raises nothing.
LEADERBOARD_SCHEMA = 1
SCHEMA_COLUMN = "leaderboard_schema"

# In names and meanings, one of the benchmark's reference methods.
REFERENCE = "<reference>"

# As pandas calls them; integers may be empty.
PANDAS_TYPES = {"text": "object", "integer": "Int64", "float": "float64", "boolean": "bool"}


@dataclass(frozen=True)
class BoardColumn:
    """A column.

    name: with REFERENCE in it, one column for each reference.
    dtype: what it holds; "" or an empty number where there is nothing to be said.
    meaning: in a sentence.
    unit: of its numbers; "" for none.
    """

    name: str
    dtype: DType
    meaning: str
    unit: str = ""


def _texts(names: str, meaning: str) -> tuple[BoardColumn, ...]:
    return tuple(BoardColumn(name, "text", meaning) for name in names.split())


AS_THERE = "as in results.csv"
JOINED = "as in results.csv; several values are joined by a bar"

OF_SETTING = (
    BoardColumn(SCHEMA_COLUMN, "integer", f"version of these columns, {LEADERBOARD_SCHEMA}"),
    *_texts("benchmark protocol dataset scenario recipe", AS_THERE),
    BoardColumn(
        "seeding",
        "text",
        "as in results.csv: over what the spreads and intervals of the row run. `student`: over student seeds, given "
        "one teacher and one draw of the data",
    ),
    BoardColumn("track", "text", "as in results.csv: `default` or `published`, each ranked by itself"),
    BoardColumn("teacher", "text", AS_THERE),
    BoardColumn(
        "teacher_source",
        "text",
        "first digits of the SHA-256 of an external teacher file; empty for teachers that the run trained",
    ),
    *_texts("student regime", AS_THERE),
)

OF_COMPETITOR = (
    BoardColumn("rank", "integer", "by `top1_mean` within setting and regime; empty unless every planned seed is done"),
    BoardColumn(
        "rank_low",
        "integer",
        "the best rank that the data leave open: one more than were found better. Where methods have other seeds than "
        "each other, widened to hold `rank`, as is the next",
    ),
    BoardColumn(
        "rank_high",
        "integer",
        "the worst: as many as are ranked, less those found worse. Below 3 seeds every rank is open",
    ),
    BoardColumn(
        "tie_group",
        "text",
        "letters: two of a setting and regime share one exactly when they were not told apart. Numbers (`1 2`) where "
        "26 letters are not enough; empty without a rank",
    ),
    *_texts("method variant selection", AS_THERE),
    BoardColumn("n", "integer", "seeds with a value"),
    BoardColumn("seeds", "text", "those seeds, as `0-4` or `0,3`"),
    BoardColumn("top1_mean", "float", "mean of `top1`", "%"),
    BoardColumn("top1_sd", "float", "standard deviation over seeds, with n - 1; empty below 2 seeds", "points"),
    *(
        BoardColumn(f"top1_ci_{end}", "float", "95 % interval of the mean (Student's t); empty below 3 seeds", "%")
        for end in ("low", "high")
    ),
    BoardColumn(
        "visible_difference",
        "float",
        "the least difference from the last reference that would be told apart with these seeds, were the spread of "
        "the differences what it is and nothing else clear; empty below 3 seeds, without spread, and for the reference",
        "points",
    ),
)

OF_GAIN = (
    BoardColumn(
        f"gain_over_{REFERENCE}",
        "float",
        "mean difference from the reference with its defaults, over the seeds that both have",
        "points",
    ),
    BoardColumn(f"gain_over_{REFERENCE}_n", "integer", "those seeds' number"),
    *(
        BoardColumn(
            f"gain_over_{REFERENCE}_ci_{end}",
            "float",
            "95 % interval of the gain (Student's t, paired by seed); empty below 3 seeds",
            "points",
        )
        for end in ("low", "high")
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_p",
        "float",
        "two-sided p of the sign-flip test; with n seeds it cannot fall below 2 / 2^n",
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_p_holm",
        "float",
        "the same after Holm's correction over the setting's comparisons with this reference",
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_t_p_holm",
        "float",
        "p of Student's paired test, corrected over the family below; what verdicts use",
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_comparisons",
        "integer",
        "how many comparisons that correction counts. Empty where there is no p",
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_correlation", "float", "correlation between runs of the same seed; empty below 3 seeds"
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_verdict",
        "text",
        "`better`, `worse`: told apart; `practically equal`: the interval lies within 0.2 points of zero; else "
        "`undecided`",
    ),
    BoardColumn(
        f"gain_over_{REFERENCE}_seeds_needed",
        "integer",
        "for undecided: about how many more seeds would settle it if mean and spread stayed as they are; empty if more "
        "than a thousand",
    ),
)

COSTS = (
    BoardColumn("teacher_top1", "float", "mean accuracy of the setting's teachers", "%"),
    BoardColumn(
        "gap_share",
        "float",
        "gain over vanilla as a share of the gap between teacher and vanilla; empty where the gap is below one point",
        "share",
    ),
    *(
        BoardColumn(name, "float", "mean over seeds; the report shows the sum of the last two as `train s`", "s")
        for name in ("train_seconds", "shared_seconds", "alone_seconds", "chain_seconds")
    ),
    BoardColumn("peak_memory_bytes", "integer", "the largest over seeds", "bytes"),
    BoardColumn("student_parameters", "integer", "the largest over seeds"),
    BoardColumn("student_macs", "integer", "the largest over seeds"),
    BoardColumn(
        "pareto",
        "boolean",
        "whether no complete variant of the setting is as good at less cost, or better at no more: `alone_seconds` and "
        "`chain_seconds` together",
    ),
)

CIRCUMSTANCES = (
    BoardColumn("planned", "integer", "cells planned"),
    BoardColumn("ok", "integer", "cells that are ok"),
    BoardColumn("failed", "integer", "cells that failed, ran out of memory or out of time"),
    BoardColumn("pending", "integer", "cells interrupted or not run"),
    BoardColumn("skipped", "integer", "cells skipped"),
    BoardColumn("complete", "boolean", "whether every planned seed has a value"),
    *_texts("method_package method_revision device precision fingerprint kdharness_version torch_version", JOINED),
    BoardColumn("seen_data", "text", "as in results.csv, of all the row's cells; several values are joined by a bar"),
    BoardColumn("epsilon", "float", "the most that one of the row's students spent, as in results.csv; may be `inf`"),
    BoardColumn("delta", "float", "the delta of that budget", "probability"),
    BoardColumn(
        "epsilon_of_all",
        "float",
        "what they spent together, if all are released: Gaussian mechanisms by the root of their squared `mu`, others "
        "by their sum. Other rows are not in it: see [Private images](#private-images)",
    ),
    BoardColumn("delta_of_all", "float", "the delta of that budget", "probability"),
    BoardColumn(
        "superseded_by",
        "text",
        "the revision of the method that counts in the row's place. Such a row shows what its own cells gave, and is "
        "compared with no other: neither ranks nor gains. Empty for rows that count",
    ),
)

BOARD_COLUMNS = (*OF_SETTING, *OF_COMPETITOR, *OF_GAIN, *COSTS, *CIRCUMSTANCES)


def board_columns(references: Sequence[str]) -> tuple[BoardColumn, ...]:
    """All columns in order, the block of gains once for each reference."""
    gains = [replace(c, name=c.name.replace(REFERENCE, reference)) for reference in references for c in OF_GAIN]
    return (*OF_SETTING, *OF_COMPETITOR, *gains, *COSTS, *CIRCUMSTANCES)


def typed(frame: pd.DataFrame, columns: Sequence[BoardColumn]) -> pd.DataFrame:
    """Those columns, in this order, each of its type whatever the rows are: of none, of numbers that are all empty."""
    return pd.DataFrame({each.name: _typed(frame[each.name], each.dtype) for each in columns})


def _typed(values: pd.Series[Any], dtype: DType) -> pd.Series[Any]:
    if dtype == "text":
        return values.astype("object").where(values.notna(), "")
    return values.astype(PANDAS_TYPES[dtype])  # type: ignore[call-overload,no-any-return]
