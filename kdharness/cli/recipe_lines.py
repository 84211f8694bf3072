"""What a dry run says of recipes: which networks are not trained as most are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from kdharness.planning.cell import Cell, canonical
from kdharness.planning.plan import Plan


def recipe_lines(plan: Plan) -> list[str]:
    """'recipe of shuffle_v1: lr=0.01' for each network whose recipe is not that of most cells; by role where these
    differ.
    """
    cells = [planned.cell for planned in plan.cells]
    if not cells:
        return []
    by_text = {canonical(dict(cell.recipe)): cell.recipe for cell in cells}
    usual = by_text[Counter(canonical(dict(cell.recipe)) for cell in cells).most_common(1)[0][0]]
    roles: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in cells:
        roles[cell.student, _difference(cell, usual)].add(cell.role)
    several = Counter(model for model, _ in roles)
    lines = []
    for (model, text), found in sorted(roles.items()):
        which = f" as {' and '.join(sorted(found))}" if several[model] > 1 else ""
        lines += [f"recipe of {model}{which}: {text}"] if text else []
    return lines


def _difference(cell: Cell, usual: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(cell.recipe.items()) if value != usual[key])
