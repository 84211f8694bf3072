"""What tells one file from another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kdharness.plain_files import open_plain


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file. OSError for one that cannot be read."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
