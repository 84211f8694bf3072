"""--teacher-top1: whose file is said to reach what."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kdharness.cli.teacher_claims import teacher_claims
from kdharness.errors import UserError
from kdharness.planning.cell import TeacherSource


@dataclass(frozen=True)
class FakeCell:
    """What is read of a cell."""

    dataset: str
    teachers: tuple[TeacherSource, ...]


@dataclass(frozen=True)
class FakePlanned:
    cell: FakeCell


@dataclass(frozen=True)
class FakePlan:
    cells: tuple[FakePlanned, ...]


def plan(*models: str, dataset: str = "cifar100") -> FakePlan:
    sources = [TeacherSource(model, "", sha256="ab", path="t.pth") for model in models]
    trained = FakeCell(dataset, (TeacherSource("vgg13", "k1"),))
    return FakePlan((FakePlanned(trained), *(FakePlanned(FakeCell(dataset, (source,))) for source in sources)))


@pytest.mark.parametrize(
    ("texts", "claims"),
    [
        ((), ()),
        (("published",), (("cifar100/resnet32x4", 79.42), ("cifar100/wrn_40_2", 75.61))),
        (("wrn_40_2=76.46",), (("cifar100/wrn_40_2", 76.46),)),
        (("published", "wrn_40_2=76.46"), (("cifar100/resnet32x4", 79.42), ("cifar100/wrn_40_2", 76.46))),
    ],
)
def test_of_each_file(texts: tuple[str, ...], claims: tuple[tuple[str, float], ...]) -> None:
    assert teacher_claims(texts, plan("wrn_40_2", "resnet32x4")) == claims  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("publish",), "--teacher-top1 publish: either 'published' or model=PERCENT"),
        (("vgg13=74.6",), "unknown teacher from a file 'vgg13' (--teacher-top1)"),
        (("wrn_40_2=x",), "--teacher-top1 wrn_40_2=x: a percentage from 0 to 100"),
        (("wrn_40_2=nan",), "--teacher-top1 wrn_40_2=nan: a percentage from 0 to 100"),
        (("wrn_40_2=101",), "--teacher-top1 wrn_40_2=101: a percentage from 0 to 100"),
    ],
)
def test_a_mistake_is_one_line(texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError) as error:
        teacher_claims(texts, plan("wrn_40_2"))  # type: ignore[arg-type]
    assert str(error.value).startswith(message)


def test_without_a_file_and_without_a_published_number() -> None:
    with pytest.raises(UserError, match="no teacher is from a file"):
        teacher_claims(("published",), plan())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no number of wrn_40_2 alone on digits is published here"):
        teacher_claims(("published",), plan("wrn_40_2", dataset="digits"))  # type: ignore[arg-type]
