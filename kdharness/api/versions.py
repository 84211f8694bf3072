"""The version of the API, and what plugins say of it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

API_VERSION = 2

# What a plugin's module may state: the version that it was written for.
STATEMENT = "KDHARNESS_API"


class NewerApi(Exception):
    """A plugin wants a version of the API that this kdharness does not have."""


def check_stated(module: Any) -> None:
    """NewerApi for a module that states a newer version, or none there can be; nothing for one that states nothing."""
    if hasattr(module, STATEMENT):
        _check(getattr(module, STATEMENT))


def check_file(path: str | None) -> None:
    """The same, of a file that does not load: a name that it imports may be one of the newer version."""
    try:
        tree = ast.parse(Path(path or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and _states(node.targets):
            _check(node.value.value)


def _states(targets: list[ast.expr]) -> bool:
    return any(isinstance(target, ast.Name) and target.id == STATEMENT for target in targets)


def _check(stated: object) -> None:
    if isinstance(stated, bool) or not isinstance(stated, int) or stated < 1:
        raise NewerApi(f"{STATEMENT} = {stated!r} is no version of kdharness.api; this is {API_VERSION}")
    if stated > API_VERSION:
        raise NewerApi(f"it is written for version {stated} of kdharness.api, this is {API_VERSION}: upgrade kdharness")
