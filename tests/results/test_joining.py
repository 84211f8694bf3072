"""The tables of several folders as one, whether they were kept or read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.results import kept
from kdharness.results.contents import Contents
from kdharness.results.joining import joined
from kdharness.results.store import ResultsFolder
from kdharness.results.table import frame_of


def folders(path: Path, *values: dict[str, Any]) -> list[ResultsFolder]:
    """One for each set of further values of its record, which is of another seed in each."""
    found = []
    for seed, extra in enumerate(values):
        record = fabricate.record(fabricate.cell("kd", seed), 90.0)
        record = replace(record, values={**record.values, **extra})
        found.append(fabricate.write(path / str(seed) / "tiny", [record.cell], [record]))
    return found


def of_rows(contents: Sequence[Contents]) -> pd.DataFrame:
    return frame_of(row for each in contents for row in each.rows)


@pytest.mark.parametrize(
    "values",
    [
        [{}, {}],
        [{"x_b": 1.5}, {"x_a": 2.5}],
        [{"x_a": "text"}, {}, {"x_b": "b"}],
        [{"x_a": "text"}, {"x_a": 1}],
        [{"x_a": 1}, {"x_a": 2.5}, {"x_a": True}],
        [{"x_a": ""}, {"x_a": 1.5}],
        [{"x_a": ""}, {"x_a": ""}],
        [{"x_a": ""}, {"x_a": "text"}],
        [{"epochs": 1.5}, {"epochs": 2}],
        [{"x_a": None}, {"x_a": 1.5}],
    ],
)
def test_it_is_the_table_of_all_rows(tmp_path: Path, values: list[dict[str, Any]]) -> None:
    contents = [folder.load() for folder in folders(tmp_path, *values)]
    pd.testing.assert_frame_equal(joined(contents), of_rows(contents))


def test_one_is_its_own_table_and_an_empty_one_adds_nothing(tmp_path: Path) -> None:
    one, world = ResultsFolder(tmp_path / "none").load(), fabricate.tiny_world(tmp_path).load()
    assert joined([world]) is world.frame
    for both in ([one, world], [world, one], [one, one]):
        pd.testing.assert_frame_equal(joined(both), of_rows(both))


def test_a_cell_of_both_is_there_twice_in_the_order_of_the_folders(tmp_path: Path) -> None:
    first, second = (fabricate.tiny_world(tmp_path / name) for name in "ab")
    second.write_record(fabricate.record(fabricate.cell("kd", 0), 12.5))
    for pair in ((first, second), (second, first)):
        contents = [each.load() for each in pair]
        frame = joined(contents)
        pd.testing.assert_frame_equal(frame, of_rows(contents))
        values = frame.loc[frame["cell"] == fabricate.cell("kd", 0).key, "top1"].tolist()
        assert values == ([91.0, 12.5] if pair[0] is first else [12.5, 91.0])


def test_folders_that_are_kept_are_not_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "LEAST_CELLS", 1)
    paths = [str(fabricate.tiny_world(tmp_path / name).path) for name in "ab"]
    commands = [["leaderboard", *paths], ["compare", paths[0]]]
    said = []
    for _ in range(2):
        for command in commands:
            assert execute(command) == 0
        said.append(capsys.readouterr().out)
        monkeypatch.setattr(ResultsFolder, "_read", lambda self: pytest.fail("everything was read"))
    assert said[0] == said[1]
    assert "kd" in said[0]
