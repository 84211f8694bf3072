"""TOML files of users: whatever one holds, it is read or refused in one line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.plain_files import open_plain

# Far beyond what anybody writes by hand. A key of many parts takes its reader time by the square of their number.
MOST_BYTES = 2**18
MOST_LEVELS = 20
MOST_DOTS = 200


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The document in a file. what: what messages call the file. UserError with one line for one that is none."""
    try:
        with open_plain(path, MOST_BYTES) as file:
            text = file.read().decode("utf-8-sig")  # some editors begin UTF-8 with a mark
        content = tomllib.loads(text) if _is_bearable(text) else None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file in UTF-8") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deep") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid TOML: {one_line(error)}") from None
    if content is None or _levels(content) > MOST_LEVELS:
        raise UserError(f"{path}: nested too deep (more than {MOST_LEVELS} levels)")
    return content


def _is_bearable(text: str) -> bool:
    return max(line.count(".") for line in text.split("\n")) <= MOST_DOTS


def _levels(document: dict[str, Any]) -> int:
    """How deep tables and lists stand in each other, one more than the limit at most."""
    levels = 0
    here: list[dict[Any, Any] | list[Any]] = [document]
    while here and levels <= MOST_LEVELS:
        levels += 1
        inner = [each for one in here for each in (one.values() if isinstance(one, dict) else one)]
        here = [each for each in inner if isinstance(each, dict | list)]
    return levels
