"""The methods of one table beside a reference of another: both as one table."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pandas as pd

from kdharness.errors import UserError
from kdharness.planning.cell import STUDENT
from kdharness.protocol.benchmark import STANDARD
from kdharness.stats.contrast import PLAIN, by_deviations
from kdharness.stats.merging import merge_tables, versions
from kdharness.stats.question import Competitor
from kdharness.stats.settings import BLOCK, COMPETITOR, SETTING, teacher_of

MOST_PLACES = 3
# A setting, and how its runs deviate.
Place = tuple[str, ...]


@dataclass(frozen=True)
class Beside:
    """One table of both.

    frame: the students of the first; of the second the reference, by a name of its own, and the plain student where the
    first has none: what a gap is a share of. reference: what it is called there. warnings: one line each.
    """

    frame: pd.DataFrame
    reference: Competitor
    warnings: tuple[str, ...] = ()


def beside(ours: pd.DataFrame, theirs: pd.DataFrame, reference: Competitor, names: tuple[str, str]) -> Beside:
    """Rows are paired by setting and seed, as in one table: where a protocol or anything else of a setting is another,
    nothing is compared.

    reference: of the second table. names: of both, for people; the reference is then called 'kd@second'.
    """
    (own, first), (other, second) = merge_tables(_students(ours)), merge_tables(_students(theirs))
    renamed = (f"{reference[0]}@{names[1]}", reference[1])
    base = other[_is(other, reference)].assign(method=renamed[0])
    plain = other[_is(other, PLAIN)] if not _is(own, PLAIN).any() else other.iloc[:0]
    frame = pd.concat([own, base, plain], ignore_index=True)
    both = pd.concat([own, base], ignore_index=True)
    once = dict.fromkeys((*first, *second, *versions(both), *_other_teachers(own, base, names)))
    return Beside(frame, renamed, tuple(once))


def _students(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["role"] == STUDENT]


def _is(frame: pd.DataFrame, competitor: Competitor) -> pd.Series[bool]:
    return (frame["method"] == competitor[0]) & (frame["variant"] == competitor[1])


def _other_teachers(own: pd.DataFrame, base: pd.DataFrame, names: tuple[str, str]) -> Iterator[str]:
    """Where the same pair and seed had teachers of other weights."""
    ours, theirs = _teachers(own), _teachers(base)
    apart = [place for place in ours.keys() & theirs.keys() if not ours[place] & theirs[place]]
    if apart:
        what = "in all of them" if len(apart) == len(ours.keys() & theirs.keys()) else f"in {len(apart)} of them"
        yield (
            f"of pairs and seeds that are in both, {names[0]} and {names[1]} have teachers of other weights {what}: "
            "a difference is that of the teachers, too"
        )


def _teachers(frame: pd.DataFrame) -> dict[tuple[object, ...], set[str]]:
    """By setting and seed, the teachers that ok cells rest on."""
    rows = frame[frame["status"] == "ok"].assign(_teacher=teacher_of)
    known = rows[(rows["_teacher"] != "") & (rows["teacher_digest"] != "")]
    place = [*BLOCK, "teacher", "student", "seed"]
    return {key: set(group) for key, group in known.groupby(place)["_teacher"]}


# -- what is not in both -----------------------------------------------------------------------------------------------


def unmatched(joined: Beside, chosen: Collection[Competitor], names: tuple[str, str]) -> tuple[str, ...]:
    """A line for settings of the chosen ones that lack the reference; () where none does. UserError, which names the
    protocols, where no setting has both.
    """
    ours: set[Place] = set()
    theirs: set[Place] = set()
    for deviations, rows in by_deviations(joined.frame):
        for key, setting in rows.groupby(list(SETTING)):
            found = set(setting[list(COMPETITOR)].itertuples(index=False, name=None))
            place = (deviations, *map(str, key))
            ours |= {place} if found & set(chosen) else set()
            theirs |= {place} if joined.reference in found else set()
    if not ours & theirs:
        here, there = f"{names[0]} has {_listed(ours)}", f"{joined.reference[0]} is in {_listed(theirs)}"
        raise UserError(f"no setting is in both, and no statistic crosses a protocol: {here}; {there}")
    lacking = ours - theirs
    return (f"not compared, for {joined.reference[0]} is not there: {_listed(lacking)}",) if lacking else ()


def _listed(places: Collection[Place]) -> str:
    """Some of them, each with its protocol."""
    each = sorted(map(_named, places))
    more = len(each) - MOST_PLACES
    return "; ".join(each[:MOST_PLACES]) + (f"; and {more} more" if more > 0 else "") if each else "none"


def _named(place: Place) -> str:
    """'digits clean conv32:conv16 (protocol 1a2b…)'."""
    deviations, *key = place
    names = dict(zip(SETTING, key, strict=True))
    pair = f"{names['teacher']}:{names['student']}" if names["teacher"] else names["student"]
    parts = (names[name] for name in ("benchmark", "dataset", "scenario", "recipe"))
    where = " ".join([*(part for part in parts if part and part != STANDARD), pair])
    also = f", {deviations}" if deviations else ""
    seeding = f", each seed draws anew {names['seeding']}" if names["seeding"] else ""
    return f"{where} (protocol {names['protocol']}{seeding}{also})"
