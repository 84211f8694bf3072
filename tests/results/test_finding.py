"""Which folders are found, and that one which cannot be read hides no other."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.errors import UserError
from kdharness.results.finding import find_folders, load_all
from kdharness.results.store import ResultsFolder


def test_the_root_and_one_benchmark_are_accepted(tmp_path: Path) -> None:
    fabricate.write(tmp_path / "a", [fabricate.cell()], [])
    fabricate.write(tmp_path / "b", [fabricate.cell()], [])
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    assert [f.path.name for f in find_folders(tmp_path)] == ["a", "b"]
    assert [f.path.name for f in find_folders(tmp_path / "b")] == ["b"]


def test_it_is_said_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        find_folders(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no results"):
        find_folders(tmp_path)


@pytest.mark.parametrize(("name", "advised"), [("nowhere", True), ("lost.zip", False), ("lost.csv", False)])
def test_a_run_is_advised_for_folders_alone(tmp_path: Path, name: str, advised: bool) -> None:
    with pytest.raises(UserError, match="does not exist") as error:
        find_folders(tmp_path / name)
    assert ("kdharness run --out" in str(error.value)) is advised


def test_what_reads_a_bundle_is_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "handed.in", "w") as archive:
        archive.writestr("MANIFEST", "")
    with pytest.raises(UserError, match=r"is a bundle, and no folder: 'kdharness verify .*handed.in' checks it"):
        find_folders(tmp_path / "handed.in")


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder's name that the system refuses to look into, whoever runs the tests."""
    real = Path.is_dir

    def refusing(path: Path, **how: Any) -> bool:
        if path.parent.name == "hidden":
            raise PermissionError(13, "Permission denied")
        return real(path, **how)

    monkeypatch.setattr(Path, "is_dir", refusing)
    return Path("hidden")


def test_a_folder_that_is_not_shown_is_unreadable_and_hides_no_other(tmp_path: Path, hidden: Path) -> None:
    fabricate.write(tmp_path / "a", [fabricate.cell()], [])
    (tmp_path / hidden).mkdir()
    warnings: list[str] = []
    assert [f.path.name for f in find_folders(tmp_path, warnings.append)] == ["a"]
    assert warnings == [f"'{tmp_path / hidden}' is unreadable and left out: Permission denied"]
    with pytest.raises(UserError, match="is unreadable: Permission denied"):
        find_folders(tmp_path / hidden)


def test_a_folder_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    sound = fabricate.write(tmp_path / "a", [fabricate.cell()], [])
    broken = [ResultsFolder(tmp_path / name) for name in "bc"]
    for folder in broken:
        folder.path.mkdir()
    broken[0].cells_path.write_text("in the way")
    broken[1].plans.folder.write_text("in the way")
    warnings: list[str] = []
    assert [c.name for c in load_all([*broken, sound], warnings.append)] == ["a"]
    assert [str(f.path) in w for f, w in zip(broken, warnings, strict=True)] == [True, True]
    with pytest.raises(UserError, match=r"cannot read .*cells"):
        load_all(broken[:1])
    with pytest.raises(UserError, match=r"cannot read .*plans"):
        load_all(broken[1:])
