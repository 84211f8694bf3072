"""Reads a bundle that a stranger made."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.results.bundles.members import MANIFEST, NAMED
from kdharness.results.checks.finding import Finding, Kind, shown

MOST_MEMBERS = 2_000_000
MOST_BYTES = 2**38
AT_ONCE = 2**20
MOST_NAME = 400
# Room that is left on the disk.
LEFT_BYTES = 2**28

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def is_bundle(path: Path) -> bool:
    """Whether a file, whatever it is called, is to be read as one."""
    return path.is_file() and path.name != "results.csv"


def looks_like_bundle(path: Path) -> bool:
    """Whether a file is a zip archive, or is called as one."""
    return os.path.isfile(path) and (path.suffix == ".zip" or zipfile.is_zipfile(path))


def unpack_sound(path: Path, into: Path) -> None:
    """As `unpack`, of a bundle with which nothing is wrong: UserError with the first of what is."""
    found = unpack(path, into)
    if found:
        more = f" and {len(found) - 1} more of its files" if len(found) > 1 else ""
        raise UserError(f"{path} is damaged: {found[0]}{more}; 'kdharness verify {path}' names each")


def unpack(path: Path, into: Path) -> list[Finding]:
    """Puts the members that its manifest names into a folder, and says what is wrong with others.

    UserError for what is no bundle. Nothing is written outside of the folder, no link is followed or made, and no
    more is written than the disk has room for.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, into)
            digests = _manifest(archive, members, path)
            return [*_strangers(members, digests), *_extracted(archive, members, digests, into)]
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no bundle, or was cut short ({one_line(error)})") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or one_line(error)}") from error


def _members(archive: zipfile.ZipFile, into: Path) -> dict[str, zipfile.ZipInfo]:
    """UserError for more than anybody packs."""
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    room = min(MOST_BYTES, shutil.disk_usage(into).free - LEFT_BYTES)
    if len(infos) > MOST_MEMBERS or total > room:
        what = f"{len(infos)} members of {total / 1e9:.1f} GB"
        raise UserError(f"{archive.filename} would unpack to {what}, which is more than there is room for")
    names = [info.filename for info in infos]
    if len({*names}) < len(names):
        raise UserError(f"{archive.filename} is no bundle: two of its members have one name")
    return dict(zip(names, infos, strict=True))


def _manifest(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], path: Path) -> dict[str, str]:
    """By name, the SHA-256 that a member should have."""
    if MANIFEST not in members:
        raise UserError(f"{path} is no bundle of kdharness, or was cut short: it has no {MANIFEST}")
    try:
        lines = archive.read(MANIFEST).decode("utf-8").splitlines()
    except (ValueError, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise UserError(f"{path}: its {MANIFEST} cannot be read ({one_line(error)})") from None
    found = [_LINE.fullmatch(line) for line in lines]
    if not all(found):
        raise UserError(f"{path}: its {MANIFEST} is none")
    return {each[2]: each[1] for each in found if each is not None}


def _strangers(members: Mapping[str, zipfile.ZipInfo], digests: Mapping[str, str]) -> Iterator[Finding]:
    for name in digests:
        if name not in members:
            yield Finding(Kind.MISSING, shown(name, MOST_NAME), f"the {MANIFEST} names it, and it is not there")
    for name, info in members.items():
        if name != MANIFEST and (name not in digests or not _is_ours(info)):
            yield Finding(Kind.FOREIGN, shown(name, MOST_NAME), "no bundle has such a member; it was not unpacked")


def _is_ours(info: zipfile.ZipInfo) -> bool:
    """A plain file with one of our names."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    parts = name.split("/")
    is_safe = not any(part in ("", ".", "..") for part in parts) and not {"\\", "\0", ":"} & {*name}
    return bool(is_safe and len(name) <= MOST_NAME and NAMED.fullmatch(name) and kind in (0, stat.S_IFREG))


def _extracted(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], digests: Mapping[str, str], into: Path
) -> Iterator[Finding]:
    for name, digest in digests.items():
        if name not in members or not _is_ours(members[name]):
            continue
        try:
            found = _extract(archive, members[name], into / name)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
            (into / name).unlink(missing_ok=True)
            yield Finding(Kind.DAMAGED, name, f"the bundle's member cannot be read ({one_line(error)})")
            continue
        if found != digest:
            what = f"its SHA-256 is {found[:16]}, the bundle's {MANIFEST} says {digest[:16]}"
            yield Finding(Kind.EDITED, name, what)


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> str:
    """Writes the member and returns its SHA-256."""
    found = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, path.open("xb") as target:
        while part := source.read(AT_ONCE):
            found.update(part)
            target.write(part)
    return found.hexdigest()
