"""Digests by which records, plans and the files beside records show whether they are still as they were written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdharness.results.files import dumps
from kdharness.results.paths import CellFiles
from kdharness.weights.digests import sha256_of

DIGEST = "digest"
_BEGINNING = re.compile(rb'\{"digest":"([0-9a-f]{64})",')


def digest_of(data: Mapping[str, Any]) -> str:
    """The SHA-256 of all values of a JSON object but the digest itself, whatever their order and spacing."""
    values = {name: value for name, value in data.items() if name != DIGEST}
    return hashlib.sha256(_text(values).encode()).hexdigest()


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def sealed(data: Mapping[str, Any]) -> str:
    """A record's or a plan's JSON with its digest, as its file holds it."""
    text = _text(json.loads(dumps(data)))
    return f'{{"{DIGEST}":"{hashlib.sha256(text.encode()).hexdigest()}",{text[1:]}'


def check_seal(data: Mapping[str, Any]) -> bool:
    """Whether there is a digest: earlier releases wrote none. ValueError when the values are not those it is of."""
    if DIGEST in data and data[DIGEST] != digest_of(data):
        raise ValueError("its values do not match its digest")
    return DIGEST in data


def is_as_written(text: bytes) -> bool:
    """Whether it is the very text that `sealed` made: of a large folder's files, none need be written out again."""
    begins = _BEGINNING.match(text)
    if begins is None:
        return False
    found = hashlib.sha256(b"{")
    found.update(memoryview(text)[begins.end() :])
    return found.hexdigest().encode() == begins[1]


def file_digests(files: CellFiles) -> dict[str, str]:
    """The SHA-256 of each of a cell's files that is there, by its name."""
    return {path.name: sha256_of(path) for path in files.kept if path.is_file()}


def guarded(files: CellFiles, digests: Mapping[str, str]) -> list[Path]:
    """The files of a cell that have a digest, wherever they are."""
    return [path for path in files.kept if path.name in digests] if digests else []


def altered(files: CellFiles, digests: Mapping[str, str]) -> list[Path]:
    """The files that are there and not as they were written. One that was deleted says nothing wrong."""
    found = []
    for path in guarded(files, digests):
        try:
            is_other = path.is_file() and sha256_of(path) != digests[path.name]
        except OSError:
            is_other = True
        if is_other:
            found.append(path)
    return found
