"""How often teachers would run, and how often they must: whether what they say is worth keeping."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from kdharness.api.declarations import Wanted
from kdharness.api.executors import TeacherUse
from kdharness.failures import Failure, attempt
from kdharness.planning.cell import Cell, canonical
from kdharness.planning.cell_group import SHARED
from kdharness.protocol.variant import made
from kdharness.registry.manager import Registry

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method

# Tables are kept where they spare this share of a teacher's work.
LEAST_SPARED = 0.1


def is_of_rows(wanted: Wanted) -> bool:
    """Whether tables hold all that is wanted of a teacher: logits and embeddings."""
    return not wanted.modules and {*wanted.taps} <= {"embedding"}


def reads_rows(method: Method) -> bool:
    """Whether rows of tables are all that a method reads of its teachers."""
    return method.reads.teachers != "none" and not method.private_teacher and is_of_rows(method.reads.of_teachers)


class TeacherReads:
    """What cells' methods read of teachers; each method is made once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[str, tuple[bool, bool]] = {}

    def of(self, cell: Cell) -> tuple[bool, bool]:
        """Whether the cell's method has teachers run, and whether rows of a table will do in their place."""
        key = canonical({"m": cell.method, "p": dict(cell.parameters)})
        if key not in self._known:
            method = attempt(lambda: made(self._registry.get("method", cell.method).spec, cell.parameters))
            # One that cannot be made fails its cells when they begin.
            has = not isinstance(method, Failure) and method.reads.teachers != "none"
            self._known[key] = has, not isinstance(method, Failure) and reads_rows(method)
        return self._known[key]


def teacher_uses(cells: Iterable[Cell], reads: Callable[[Cell], tuple[bool, bool]], largest: int) -> list[TeacherUse]:
    """Of each teacher that some cell could read from a table. largest: cells of a group."""
    streams: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        if reads(cell)[0] and not cell.has_private_images:
            # They are shown the same pictures of the same images, epoch by epoch.
            shared = {name: cell.document.get(name) for name in (*SHARED, "seed")}
            for source in cell.teachers:
                streams[source.identity][canonical(shared)].append(cell)
    return [_use(teacher, list(of_teacher.values()), reads, largest) for teacher, of_teacher in streams.items()]


def _use(
    teacher: str, streams: Sequence[Sequence[Cell]], reads: Callable[[Cell], tuple[bool, bool]], largest: int
) -> TeacherUse:
    online = maps = apart = 0
    for cells in streams:
        epochs = int(cells[0].recipe["epochs"])
        of_maps = sum(not reads(cell)[1] for cell in cells)
        online += epochs * math.ceil(len(cells) / largest)
        maps += epochs * math.ceil(of_maps / largest)
        apart += 0 if of_maps else epochs
    return TeacherUse(teacher, online, maps, apart)


def passes_with_table(use: TeacherUse, each: int) -> float:
    """How many epochs a teacher runs for, where what it says is kept. each: how many pictures there are of an image.

    Of k draws out of n pictures, n (1 - (1 - 1 / n)^k) differ.
    """
    return use.maps + each * (1 - (1 - 1 / each) ** use.apart)


def pays(use: TeacherUse, each: int) -> bool:
    """Whether a table spares enough."""
    return use.online - passes_with_table(use, each) >= LEAST_SPARED * use.online > 0
