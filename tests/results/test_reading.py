"""A file that cannot be used is said once; the collector is paused and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.results.reading import JsonReader


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"schema": 1, "a": "\xff"}', b"{} {}"])
def test_a_damaged_file_is_said_once(tmp_path: Path, content: bytes) -> None:
    warnings: list[str] = []
    reader = JsonReader(warnings.append)
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert [reader.read(path, dict, (1,)) for _ in range(2)] == [None, None]
    assert len(warnings) == 1
    assert str(path) in warnings[0]


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"schema": 1, "a": "\xc3\xa4"}')
    assert JsonReader(pytest.fail).read(path, dict, (1,)) == {"schema": 1, "a": "\u00e4"}


def test_no_file_is_no_warning(tmp_path: Path) -> None:
    assert JsonReader(pytest.fail).read(tmp_path / "a.json", dict, (1,)) is None


def test_another_schema_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema": 3}')
    with pytest.raises(UserError, match=r"a\.json has schema version 3, this release of kdharness reads 1"):
        JsonReader(pytest.fail).read(path, dict, (1,))
