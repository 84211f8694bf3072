"""The tables of plugins/README.md hold every field and method of what authors are handed, as the code has them."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from typing import ClassVar

import field_tables
import pytest

from kdharness import api

PAGE = field_tables.README.read_text(encoding="utf-8")
NAMES = [name for names in field_tables.GROUPS.values() for name in names]
# Its tables stand where methods are explained; and what is raised, not read.
ELSEWHERE = {"Method", "DatasetMissing"}


def rows(name: str) -> list[list[str]]:
    """The cells of a class's table on the page."""
    table = field_tables.section_of(PAGE).split(f"#### `{name}`\n")[1].split("\n#")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.replace("\\|", "\0").strip("|").split("|")] for line in lines]


def test_the_page_is_that_of_the_code() -> None:
    """After a change: `python tests/api/field_tables.py update`."""
    assert field_tables.section_of(PAGE) == field_tables.text()
    assert field_tables.updated(PAGE) == PAGE


def test_every_class_has_a_table() -> None:
    classes = {name for name in api.__all__ if inspect.isclass(getattr(api, name))}
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) == classes - ELSEWHERE


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_every_public_name_and_no_other(name: str) -> None:
    cls = getattr(api, name)
    found = [row[0].strip("`").partition("(")[0] for row in rows(name)]
    fields = {field.name for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    kept = {base for base in cls.__mro__ if base.__module__.startswith("kdharness.api")}
    public = {each for base in kept for each in vars(base) if not each.startswith("_")} | fields
    assert len(found) == len(set(found))
    assert set(found) >= public
    assert all(hasattr(cls, each) or each in public | attributes(cls) for each in found)


def attributes(cls: type) -> set[str]:
    """What `__init__` sets, or a Protocol wants."""
    lines = (line.strip() for line in inspect.getsource(cls).splitlines())
    set_by = {re.split(r"[:=]", line)[0].strip() for line in lines if line.startswith("self.")}
    return {text.removeprefix("self.") for text in set_by} | set(cls.__annotations__)


@pytest.mark.parametrize("name", [name for name in NAMES if dataclasses.is_dataclass(getattr(api, name))])
def test_types_are_the_annotations(name: str) -> None:
    told = {row[0].strip("`"): row[1].strip("`").replace("\0", "|") for row in rows(name)}
    for field in dataclasses.fields(getattr(api, name)):
        # As text, for annotations are not evaluated; quotes may differ.
        assert told[field.name].replace("'", '"') == str(field.type).replace("'", '"')


@pytest.mark.parametrize(
    ("name", "field", "shape"),
    [
        ("Batch", "images", "[N, C, H, W]"),
        ("Batch", "targets", "[N]"),
        ("Batch", "step", ""),
        ("Mixing", "box", "[4]"),
        ("StepInfo", "progress", "0-d"),
        ("Outputs", "embedding", "[N, D]"),
        ("BuildContext", "input_shape", "(C, H, W)"),
        ("Predictions", "logits", "[N, classes]"),
    ],
)
def test_shapes_are_told(name: str, field: str, shape: str) -> None:
    (row,) = [row for row in rows(name) if row[0] == f"`{field}`"]
    assert row[2] == shape


def test_every_tensor_has_a_shape() -> None:
    untold = [
        (name, row[0])
        for name in NAMES
        for row in rows(name)
        if re.fullmatch(r"`(Tensor|NDArray\[.*\])( \0 None)?`", row[1]) and not row[0].endswith(")`") and not row[2]
    ]
    assert untold == []


# -- the maker ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """A record.

    size: in [0, 1],
        of float [N, C].
    """

    constant: ClassVar[int] = 3
    size: float | None

    @property
    def double(self) -> float:
        """Twice the size."""
        return 2 * (self.size or 0)

    def grown(self, by: int = 1, *others: str) -> Record:
        """The record, grown.

        And more words.
        """
        return Record(by)

    def _hidden(self) -> None: ...


class Silent:
    """Words.

    told: once.
    """

    def __init__(self, told: int) -> None:
        self.told = told

    def method(self) -> None: ...


class Guessed:
    """Words.

    told: once.
    """

    def __init__(self) -> None:
        self.told = 1 + 1


@dataclass
class Untold:
    """Words."""

    field: int


def test_rows_are_made_of_annotations_and_docstrings() -> None:
    found = field_tables.members(Record, __name__)
    assert [(m.name, m.type, m.meaning) for m in found] == [
        ("size", "float | None", "in [0, 1], of float [N, C]."),
        ("double", "float", "Twice the size."),
        ("grown(by=1, *others)", "Record", "The record, grown."),
    ]
    assert found[0].row == "| `size` | `float \\| None` | [N, C] | in [0, 1], of float [N, C]. |"


@pytest.mark.parametrize(
    ("cls", "line"),
    [
        (Silent, r"Silent\.method has no docstring"),
        (Guessed, r"'self\.told' wants an annotation"),
        (Untold, "the docstring of Untold does not say what 'field' is"),
    ],
)
def test_what_is_not_explained_is_an_error(cls: type, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        field_tables.members(cls, __name__)
