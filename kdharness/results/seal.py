"""Digests by which a record and its files show whether they are still as they were written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdharness.results.files import dumps
from kdharness.results.paths import CellFiles
from kdharness.weights.digests import sha256_of

DIGEST = "digest"


def digest_of(data: Mapping[str, Any]) -> str:
    """The SHA-256 of all values of a record's JSON but the digest itself, whatever their order and spacing."""
    values = {name: value for name, value in data.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(data: Mapping[str, Any]) -> str:
    """The record's JSON with its digest, as its file holds it."""
    values = json.loads(dumps(data))
    return dumps({**values, DIGEST: digest_of(values)})


def check_seal(data: Mapping[str, Any]) -> bool:
    """Whether there is a digest: earlier releases wrote none. ValueError when the values are not those it is of."""
    if DIGEST in data and data[DIGEST] != digest_of(data):
        raise ValueError("its values do not match its digest")
    return DIGEST in data


def file_digests(files: CellFiles) -> dict[str, str]:
    """The SHA-256 of each of a cell's files that is there, by its name."""
    return {path.name: sha256_of(path) for path in files.kept if path.is_file()}


def altered(files: CellFiles, digests: Mapping[str, str]) -> list[Path]:
    """The files that are there and not as they were written. One that was deleted says nothing wrong."""
    found = []
    for path in files.kept:
        try:
            is_other = path.name in digests and path.is_file() and sha256_of(path) != digests[path.name]
        except OSError:
            is_other = True
        if is_other:
            found.append(path)
    return found
