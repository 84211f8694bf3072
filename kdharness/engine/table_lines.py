"""What a dry run says of view tables: whose outputs would be kept, what that spares and takes, and why others' not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdharness.api.executors import TeacherUse
from kdharness.api.specs import ViewInfo
from kdharness.engine.world import World
from kdharness.planning.cell import Cell
from kdharness.planning.teacher_uses import passes_with_table, pays
from kdharness.protocol.recipe import Recipe

BYTES = 4


def table_lines(cells: Iterable[Cell], uses: Iterable[TeacherUse], world: World) -> Iterator[str]:
    """A line for each teacher. cells: those that are taught; their data can be loaded."""
    readers = {source.identity: cell for cell in reversed([*cells]) for source in cell.teachers}
    for use in uses:
        cell = readers[use.teacher]
        source = next(source for source in cell.teachers if source.identity == use.teacher)
        named = use.teacher if source.cell else f"file {use.teacher[:12]}"
        yield f"teacher {source.model} ({named}): {_line(cell, use, world)}"


def _line(cell: Cell, use: TeacherUse, world: World) -> str:
    recipe, data = Recipe.model_validate(dict(cell.recipe)), world.data.of(cell)
    finite = world.view(recipe.augmentation).finite
    if recipe.mixes:
        return "runs online, for images are mixed"
    if finite is None:
        return f"runs online, for view '{recipe.augmentation}' has no finite number of pictures of an image"
    each = finite.count(ViewInfo(data.dataset.augmentation, data.input_shape[1:]))
    if recipe.teacher_outputs == "table":
        return f"its rows are made in order, {each} of an image: a table is asked for by name"
    if not pays(use, each):
        return f"runs online, {use.online} epochs: a table would spare too little"
    images = len(data.subsets[cell.document["subset"]])
    share = passes_with_table(use, each)
    room = images * min(each, share) * data.num_classes * BYTES / 1e6
    what = f"its outputs are kept as they come: about {_counted(round(share), 'epoch')} of it in place of {use.online}"
    return f"{what}, about {room:.0f} MB of logits on disk ({_counted(each, 'picture')} of an image)"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
