"""Several tables as one: each cell once, and what is warned of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fabricate
import pandas as pd

from kdharness.results.record import Record, Status
from kdharness.stats.board import leaderboard
from kdharness.stats.merging import merge_tables


def merged(*tables: list[Record]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    return merge_tables(pd.concat([fabricate.table_of(records) for records in tables], ignore_index=True))


def test_versions_that_differ_are_said() -> None:
    other: dict[str, Any] = {"torch_version": "2.10.0", "fingerprint": "gpu", "kdharness_version": "0.2.0"}
    frame, warnings = merged(
        [fabricate.record(fabricate.cell("kd"))], [fabricate.record(fabricate.cell("at"), **other)]
    )
    assert len(frame) == 2
    assert warnings == (
        "results of several releases of kdharness: 0.1.0, 0.2.0",
        "results of several releases of torch: 2.10.0, 2.9.0",
        "results of several fingerprints (device, versions, precision): cpu-abc, gpu",
    )


def test_what_was_not_measured_has_no_version_to_differ() -> None:
    failed = fabricate.record(fabricate.cell("at"), None, Status.FAILED)
    assert merged([fabricate.record(fabricate.cell("kd")), failed])[1] == ()


def test_a_cell_in_several_folders_counts_once() -> None:
    cell = fabricate.cell()
    frame, warnings = merged([fabricate.record(cell, 90.0)], [fabricate.record(cell, 90.0)])
    assert frame["cell"].to_list() == [cell.key]
    assert warnings == ("cells in several folders: 1; the latest result of each counts",)


def test_the_cell_that_is_ok_is_preferred_in_either_order() -> None:
    good, bad = fabricate.record(fabricate.cell(), 91.0), fabricate.record(fabricate.cell(), None, Status.FAILED)
    assert merged([good], [bad])[0]["status"].to_list() == ["ok"]
    assert merged([bad], [good])[0]["status"].to_list() == ["ok"]


def test_rivals_are_counted_and_kept() -> None:
    old, new = (fabricate.record(fabricate.cell(method_revision=revision)) for revision in "12")
    frame, warnings = merged([old], [new])
    assert len(frame) == 2
    assert warnings == ("cells superseded by others of the same method and seed: 1; the latest counts",)


def test_protocols_that_differ_are_said_and_ranked_apart() -> None:
    frame, warnings = merged(*([fabricate.record(fabricate.cell(protocol=p))] for p in ("p1", "p2")))
    assert warnings == ("tiny digits clean has several protocols, ranked apart: p1, p2",)
    assert leaderboard(frame)["rank"].to_list() == [1, 1]


def test_what_deviates_may_have_its_own_protocol() -> None:
    short = fabricate.record(fabricate.cell(protocol="p2", deviations="recipe.epochs=3"))
    assert merged([fabricate.record(fabricate.cell()), short])[1] == ()


def test_of_several_draws_with_secret_noise_the_earliest_counts() -> None:
    """Of other cells it is the latest. A folder that was copied is the same draw."""
    cell = replace(fabricate.cell("guard"), secret=True)
    early, late = (
        replace(fabricate.record(cell, top1), finished_at=f"2025-01-0{day}T00:00:00+00:00")
        for day, top1 in ((1, 90.0), (2, 91.0))
    )
    frame, warnings = merged([late], [early], [late])
    assert frame["top1"].to_list() == [90.0]
    assert warnings == (
        "cells with secret noise in several folders: 1; each is a release of its own, which spent more than is stated, "
        "and the earliest counts",
    )
    frame, warnings = merged([early], [early])
    assert (len(frame), warnings) == (1, ("cells in several folders: 1; the latest result of each counts",))
    failed = fabricate.record(cell, None, Status.FAILED)
    assert merged([failed], [early])[0]["top1"].to_list() == [90.0]
