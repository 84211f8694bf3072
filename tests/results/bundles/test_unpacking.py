"""A bundle that a stranger made writes nothing but its own files, and says what was changed in it."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.results.bundles import unpacking
from kdharness.results.bundles.members import members_of
from kdharness.results.bundles.packing import write_bundle
from kdharness.results.bundles.unpacking import unpack
from kdharness.results.checks.finding import Kind
from kdharness.results.store import ResultsFolder

Content = dict[str | zipfile.ZipInfo, bytes]


@pytest.fixture
def packed(finished: Path, tmp_path: Path) -> Path:
    found = members_of([ResultsFolder(finished)])
    write_bundle(tmp_path / "small.zip", found.files, found.environment)
    return tmp_path / "small.zip"


def content(path: Path) -> Content:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def remade(path: Path, members: Mapping[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def into(path: Path) -> Path:
    folder = path.parent / "unpacked"
    folder.mkdir()
    return folder


def test_a_bundle_unpacks_to_the_folder_that_it_is_of(packed: Path, finished: Path) -> None:
    folder = into(packed)
    assert unpack(packed, folder) == []
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        *(name for name in content(packed) if name != "MANIFEST")
    }
    assert (folder / "small" / "results.csv").read_bytes() == (finished / "results.csv").read_bytes()


def test_an_edited_a_missing_and_a_foreign_member_are_named(packed: Path) -> None:
    members = content(packed)
    members["small/results.csv"] += b"x"
    del members["small/metrics.csv"]
    members["small/notes.txt"] = b"hello"
    remade(packed, members)
    folder = into(packed)
    missing, foreign, edited = unpack(packed, folder)
    assert (missing.kind, missing.where) == (Kind.MISSING, "small/metrics.csv")
    assert (foreign.kind, foreign.where) == (Kind.FOREIGN, "small/notes.txt")
    assert (edited.kind, edited.where) == (Kind.EDITED, "small/results.csv")
    assert not (folder / "small" / "notes.txt").exists()


@pytest.mark.parametrize(
    "name",
    ["../a.csv", "/results.csv", "small/../../results.csv", "small\\results.csv", "C:/results.csv", "a//b"],
)
def test_no_member_leaves_the_folder(packed: Path, name: str) -> None:
    """Also where the manifest names it."""
    members = content(packed)
    members[name] = b""
    members["MANIFEST"] += f"{'0' * 64}  {name}\n".encode()
    remade(packed, members)
    folder = into(packed)
    before = set(folder.parent.rglob("*"))
    found = unpack(packed, folder)
    assert Kind.FOREIGN in {f.kind for f in found}
    assert {p for p in folder.parent.rglob("*") if not p.is_relative_to(folder)} <= before


def test_a_link_is_no_member(packed: Path) -> None:
    members = content(packed)
    del members["small/results.csv"]
    link = zipfile.ZipInfo("small/results.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    members[link] = b"/etc/passwd"
    remade(packed, members)
    folder = into(packed)
    assert [(f.kind, f.where) for f in unpack(packed, folder)] == [(Kind.FOREIGN, "small/results.csv")]
    assert not (folder / "small" / "results.csv").is_symlink()


def test_a_member_whose_bytes_were_damaged(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        info = archive.getinfo("small/results.csv")
    data[info.header_offset + 30 + len(info.filename) + 5] ^= 0xFF
    packed.write_bytes(bytes(data))
    assert [(f.kind, f.where) for f in unpack(packed, into(packed))] == [(Kind.DAMAGED, "small/results.csv")]


@pytest.mark.parametrize("kept", [0, 10, 1000, -30])
def test_a_bundle_cut_short(packed: Path, kept: int) -> None:
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(UserError, match="or was cut short"):
        unpack(packed, into(packed))


def test_another_zip_file_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no bundle of kdharness, or was cut short: it has no MANIFEST"):
        unpack(remade(tmp_path / "a.zip", {"a.txt": b""}), into(tmp_path / "a.zip"))


def test_more_than_the_disk_holds_is_not_unpacked(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than there is room for"):
        unpack(packed, into(packed))


def test_as_commands(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.zip"
    assert execute(["bundle", str(finished), "--out", str(path)]) == 0
    out = capsys.readouterr()
    assert out.out.startswith(f"wrote {path}: ")
    assert "with the weights of 1 cell," in out.err
    assert execute(["verify", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "small:"
    assert execute(["verify", str(tmp_path)]) == 2
    assert f"holds no results, but b.zip: verify '{path}'" in capsys.readouterr().err
    members = content(path)
    members["small/results.csv"] = members["small/results.csv"].replace(b",kd,", b",kb,")
    remade(path, members)
    assert execute(["verify", str(path)]) == 1
    assert "edited: small/results.csv: its SHA-256 is" in capsys.readouterr().out
