"""Planned cells held against each other: what a protocol says once is the same in all documents under it.

A protocol is a digest of dataset, scenario, recipes and evaluation. So no cell under it has a recipe of its own,
whatever key was found for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from kdharness.planning.cell import SPREAD, STEP, STUDENT, Cell, canonical
from kdharness.planning.plan import Plan
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.identity import part_of
from kdharness.text import seeds_text

# Of a document, what its protocol decides: for all, for those that train the same network, for those of one seed, which
# may draw labels and splits.
OF_PROTOCOL = ("schema", "numerics", "dataset", "evaluation")
OF_NETWORK = ("recipe",)
OF_SEED = ("scenario",)
# Of a cell, what tables show of its protocol.
NAMED = ("dataset", "scenario", "seeding")
MOST_NAMED = 5

Place = tuple[str, ...]
PlaceOf = Callable[[Cell], Place]


def findings_of_peers(where: str, cells: Iterable[Cell]) -> Iterator[Finding]:
    """What is not as its protocol has it; and doubts, of what tables call alike and is not: networks, teachers and
    parameters are in no protocol, and an edited plugin or benchmark gives others.

    where: what says so. cells: that are planned.
    """
    ranked = [cell for cell in cells if cell.role in (STUDENT, SPREAD)]
    parts: tuple[tuple[tuple[str, ...], PlaceOf], ...] = (
        (OF_PROTOCOL, _protocol), (OF_NETWORK, _network), (OF_SEED, _seed),
    )  # fmt: skip
    for names, place in parts:
        for name in names:
            yield from _unlike(Kind.EDITED, where, name, [(place(c), c, c.document.get(name)) for c in ranked])
    for name in NAMED:
        yield from _unlike(Kind.EDITED, where, name, [(_protocol(c), c, getattr(c, name)) for c in ranked])
    yield from _unlike(Kind.DOUBT, where, "student", [(_network(c), c, c.document.get("student")) for c in ranked])
    taught = [cell for cell in ranked if cell.role == STUDENT and cell.reference_teachers]
    yield from _unlike(Kind.DOUBT, where, "teachers", [(_pair(c), c, _teachers(c)) for c in taught])
    choices = [(place, c, _choice(c)) for c in ranked for place in _competitors(c)]
    yield from _unlike(Kind.DOUBT, where, "method", choices)


def findings_of_roles(where: str, plan: Plan) -> Iterator[Finding]:
    """Students that stand in no table though nothing says why: a step that no cell of its plan requires, a spread
    without teachers that vary.
    """
    required = {key for entry in plan.cells for key in entry.cell.requires}
    for entry in plan.cells:
        cell = entry.cell
        if cell.role == STEP and cell.key not in required:
            yield Finding(Kind.EDITED, where, f"{cell.label} is a step, and no cell requires it")
        if cell.role == SPREAD and (cell.teacher_seed is None or not cell.reference_teachers):
            yield Finding(Kind.EDITED, where, f"{cell.label} is a spread, and no teacher of its varies")


def findings_of_seeds(cells: Iterable[Cell]) -> Iterator[Finding]:
    """Doubts: methods of one setting without a seed that others have, and seeds left out between others."""
    settings: dict[Place, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for cell in cells:
        if cell.role == STUDENT:
            for track, variant in cell.standings.items():
                place: Place = (cell.dataset, cell.scenario, cell.recipe_name, track, cell.student, cell.protocol)
                settings[place][f"{cell.method}[{variant}]" if variant else cell.method].add(cell.seed)
    for where, methods in sorted(settings.items()):
        everyone = set().union(*methods.values())
        label = " ".join(filter(None, where[:-1]))
        if lacking := {name: everyone - seeds for name, seeds in methods.items() if everyone - seeds}:
            each = [f"{name} {seeds_text(sorted(seeds))}" for name, seeds in sorted(lacking.items())]
            what = f"seeds that others of {label} have were not asked for: {_few(each)}"
            yield Finding(Kind.DOUBT, "plans", what)
        if left_out := set(range(min(everyone), max(everyone))) - everyone:
            what = f"no method of {label} was asked for seed {seeds_text(sorted(left_out))}, which lies between others"
            yield Finding(Kind.DOUBT, "plans", what)


def _few(names: Collection[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join([*names][:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _protocol(cell: Cell) -> Place:
    return (cell.protocol,)


def _network(cell: Cell) -> Place:
    return (cell.protocol, cell.recipe_name, cell.student)


def _seed(cell: Cell) -> Place:
    return (cell.protocol, str(cell.seed))


def _teachers(cell: Cell) -> str:
    return "+".join(source.identity for source in cell.reference_teachers)


def _pair(cell: Cell) -> Place:
    """Where others have the same teachers. Weights from a file are other teachers, and ranked apart."""
    from_file = "".join(source.sha256 for source in cell.reference_teachers)
    return (cell.protocol, cell.teacher, from_file, str(cell.seed))


def _competitors(cell: Cell) -> Iterator[Place]:
    """Where it is called like others, by track."""
    for track, variant in cell.standings.items():
        yield (cell.protocol, track, cell.method, variant, cell.teacher, cell.student)


def _choice(cell: Cell) -> dict[str, Any]:
    """What makes its competitor."""
    method = part_of(cell.document, "method")
    return {name: method.get(name) for name in ("parameters", "without")}


def _unlike(kind: Kind, where: str, name: str, found: Iterable[tuple[Place, Cell, Any]]) -> Iterator[Finding]:
    """Those whose value is not that of most others of their place; one finding for each competitor."""
    places: dict[Place, dict[str, list[tuple[Cell, Any]]]] = defaultdict(lambda: defaultdict(list))
    for place, cell, value in found:
        places[place][canonical({name: value})].append((cell, value))
    for texts in places.values():
        if len(texts) == 1:
            continue
        usual = Counter({text: len(cells) for text, cells in texts.items()}).most_common(1)[0][0]
        others = texts.pop(usual)
        for cells in texts.values():
            differs = _difference(name, cells[0][1], others[0][1])
            count = "" if len(cells) == 1 else f" and {len(cells) - 1} more of its protocol"
            rest = "1 other" if len(others) == 1 else f"{len(others)} others"
            what = f"{cells[0][0].label}{count}: {differs} in {rest} of protocol {cells[0][0].protocol}"
            yield Finding(kind, where, what)


def _difference(name: str, own: Any, usual: Any) -> str:
    """'recipe epochs is 12, and 6'."""
    if isinstance(own, Mapping) and isinstance(usual, Mapping):
        for part in sorted({*own, *usual}):
            if own.get(part) != usual.get(part):
                return _difference(f"{name} {part}", own.get(part), usual.get(part))
    return f"{name} is {shown(own)}, and {shown(usual)}"
