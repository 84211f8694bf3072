"""--teacher-top1: what files of teachers are said to reach, and must."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kdharness.errors import UnknownName, UserError
from kdharness.planning.plan import Plan

OPTION = "--teacher-top1"
PUBLISHED = "published"


def teacher_claims(texts: Sequence[str], plan: Plan) -> tuple[tuple[str, float], ...]:
    """By "dataset/model", percent. texts: "published", or "model=79.42", which goes first.

    UserError for what is neither, for a model that no file is given for, and where nothing is published.
    """
    files = sorted({(p.cell.dataset, t.model) for p in plan.cells for t in p.cell.teachers if t.sha256})
    if texts and not files:
        raise UserError(f"{OPTION}: no teacher is from a file (--teacher gives one)")
    models = {model for _, model in files}
    given = dict(_given(text, models) for text in texts if text != PUBLISHED)
    found = []
    for dataset, model in files:
        if model in given:
            found.append((f"{dataset}/{model}", given[model]))
        elif PUBLISHED in texts:
            found.append((f"{dataset}/{model}", _published(dataset, model)))
    return tuple(found)


def _given(text: str, models: set[str]) -> tuple[str, float]:
    model, equals, number = text.partition("=")
    if not equals:
        raise UserError(f"{OPTION} {text}: either '{PUBLISHED}' or model=PERCENT")
    if model not in models:
        raise UnknownName("teacher from a file", model, models, OPTION)
    try:
        percent = float(number)
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise UserError(f"{OPTION} {text}: a percentage from 0 to 100")
    return model, percent


def _published(dataset: str, model: str) -> float:
    from kdharness.stats.published import teacher_top1  # loads pandas

    top1 = teacher_top1(dataset, model)
    if math.isnan(top1):
        raise UserError(f"{OPTION} {PUBLISHED}: no number of {model} alone on {dataset} is published here; give it")
    return top1
