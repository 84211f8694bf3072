"""The published numbers that ship: facts with a source, first-hand or said not to be."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kdharness.errors import UserError
from kdharness.protocol.recipe_files import recipe_names
from kdharness.results.published import COLUMNS, published_files, published_numbers, read_published

ALL = published_numbers(published_files())


def test_these_datasets_have_numbers() -> None:
    assert set(published_files()) == {"cifar10", "cifar100", "imagenet", "tiny_imagenet"}
    assert list(ALL.columns) == [*COLUMNS, "dataset"]
    assert ALL.groupby("dataset").size().to_dict() == {
        "cifar10": 15, "cifar100": 818, "imagenet": 272, "tiny_imagenet": 4,
    }  # fmt: skip


def test_each_says_where_it_is_from_and_by_which_rule() -> None:
    assert (ALL["file"].str.match(r"[\w-]+/[\w-]+[:#]\S+")).all()
    assert (ALL["source"] != "").all()
    assert set(ALL["kind"]) == {"own", "rerun", "listed"}
    assert set(ALL["rule"]) == {"last", "best", "validation", ""}
    assert set(ALL["recipe"]) - {""} <= set(recipe_names())
    assert set(ALL["parameters"]) == {"pair", ""}
    assert ALL["top1"].between(20, 100).all()
    assert (ALL["student"] != "").all()


def test_nothing_recalled_or_told_by_others_is_among_them() -> None:
    for column in ("source", "printed", "apart"):
        assert not ALL[column].str.contains("recalled|third-party|memory", case=False).any()


def test_copies_are_not_said_to_be_runs() -> None:
    """What mdistiller prints for KD is RepDistiller's, to the digit."""
    kd = ALL[(ALL["dataset"] == "cifar100") & (ALL["method"] == "kd")]
    own = kd[kd["source"] == "RepDistiller"]
    numbers = dict(zip(own["teacher"] + ":" + own["student"], own["top1"], strict=True))
    copied = kd[kd["source"] == "mdistiller"]
    assert len(copied) == 11
    assert set(copied["kind"]) == {"listed"}
    pairs = copied["teacher"] + ":" + copied["student"]
    assert [numbers[pair] for pair in pairs] == copied["top1"].tolist()


@pytest.mark.parametrize(
    ("model", "top1"),
    [
        ("wrn_40_2", 75.61), ("resnet56", 72.34), ("resnet110", 74.31), ("resnet32x4", 79.42), ("vgg13", 74.64),
        ("resnet50", 79.34), ("wrn_16_2", 73.26), ("shuffle_v1", 70.50), ("mobilenet_v2", 64.60),
    ],
)  # fmt: skip
def test_the_networks_of_the_standard_pairs_are_there(model: str, top1: float) -> None:
    alone = ALL[(ALL["dataset"] == "cifar100") & (ALL["method"] == "vanilla") & (ALL["student"] == model)]
    assert top1 in set(alone[(alone["source"] == "RepDistiller") & (alone["teacher"] == "")]["top1"])


ROW = ["kd", "KD", "resnet56", "resnet20", "70.66", "", "", "last", "own", "crd240", "", "", "RepDistiller", "a/b:c"]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("top1", "7O.66", "line 3: top1 '7O.66' is no number in range"),
        ("top1", "", "line 3: top1 '' is no number in range"),
        ("top1", "7066", "line 3: top1 '7066' is no number in range"),
        ("sd", "nan", "line 3: sd 'nan' is no number in range"),
        ("runs", "inf", "line 3: runs 'inf' is no number in range"),
        ("rule", "lst", "line 3: rule 'lst' is none of 'last', 'best', 'validation', ''"),
        ("kind", "", "line 3: kind '' is none of 'own', 'rerun', 'listed'"),
        ("parameters", "all", "line 3: parameters 'all' is none of 'pair', ''"),
    ],
)
def test_a_row_that_is_edited_badly_is_named(tmp_path: Path, column: str, value: str, says: str) -> None:
    path = tmp_path / "cifar100.csv"
    edited = [value if name == column else each for name, each in zip(COLUMNS, ROW, strict=True)]
    path.write_text("\n".join(map(",".join, (COLUMNS, ROW, edited))) + "\n")
    with pytest.raises(UserError) as error:
        read_published(path)
    assert str(error.value) == f"{path}, {says}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No columns to parse"),
        (",".join(COLUMNS[1:]) + "\n", "there is no column 'method'"),
        (",".join(COLUMNS) + "\n" + ",".join(ROW[:7]) + "\n", "line 2: kind '' is none of"),
    ],
    ids=["empty", "column", "short row"],
)
def test_a_file_that_is_no_such_table_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "cifar100.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_published(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_a_dataset_without_a_file_has_none() -> None:
    nothing = published_numbers({"digits"})
    assert nothing.empty
    assert list(nothing.columns) == list(ALL.columns)
    assert pd.api.types.is_float_dtype(nothing["top1"])
