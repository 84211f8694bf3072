"""Writes a bundle: a zip file whose bytes depend on the files alone."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from kdharness.errors import UserError
from kdharness.plain_files import open_plain
from kdharness.results.bundles.members import ENVIRONMENT, MANIFEST
from kdharness.results.files import write_atomic

# No file has a time of its own: the earliest that a zip file can say.
TIME = (1980, 1, 1, 0, 0, 0)
READABLE = 0o100644 << 16
AT_ONCE = 2**20
# These are compressed already, or cannot be.
PACKED = (".npz", ".safetensors")


def write_bundle(out: Path, files: Mapping[str, Path], environment: str) -> None:
    """files: by name. UserError for one that cannot be read, and where the bundle cannot be written.

    MANIFEST has a line for each other member, as sha256sum writes and checks it.
    """
    write_atomic(out, lambda file: _write(file, files, environment))


def _write(file: IO[bytes], files: Mapping[str, Path], environment: str) -> None:
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        digests[ENVIRONMENT] = _add(archive, ENVIRONMENT, io.BytesIO(environment.encode()), len(environment))
        for name, path in sorted(files.items()):
            try:
                with open_plain(path) as source:
                    digests[name] = _add(archive, name, source, path.stat().st_size)
            except OSError as error:
                raise UserError(f"cannot read {path}: {error.strerror}; no bundle was written") from error
        text = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode()
        _add(archive, MANIFEST, io.BytesIO(text), len(text))


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes], size: int) -> str:
    """Copies it; returns its SHA-256. size: about, for files whose length needs a wider field."""
    info = zipfile.ZipInfo(name, TIME)
    info.compress_type = zipfile.ZIP_STORED if name.endswith(PACKED) else zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr, info.file_size = 3, READABLE, size
    found = hashlib.sha256()
    with archive.open(info, "w") as target:
        while part := source.read(AT_ONCE):
            found.update(part)
            target.write(part)
    return found.hexdigest()
