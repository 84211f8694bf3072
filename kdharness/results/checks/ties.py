"""Whether records are tied to each other as they say: to the weights that taught them, and to nobody else's logits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from kdharness.planning.cell import STUDENT, Cell, canonical
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.numbers import PREDICTIONS
from kdharness.results.record import Record

# Of a digest, in tables.
DIGITS = 16


def findings_of_sources(where: str, record: Record, records: Mapping[str, Record]) -> Iterator[Finding]:
    """Of a record that is ok. where: its file."""
    for key, weights in record.sources.items():
        other = records.get(key)
        if key not in record.cell.requires:
            yield Finding(Kind.EDITED, where, f"it names weights of {key}, which its cell does not require")
        elif other is not None and other.weights and other.weights != weights:
            what = f"it was taught by weights {shown(weights[:DIGITS])} of {key}, which has {other.weights[:DIGITS]}"
            yield Finding(Kind.STALE, where, what)
    stated, expected = record.values.get("teacher_digest"), _teacher_digest(record)
    if stated is not None and expected and stated != expected:
        yield Finding(Kind.EDITED, where, f"teacher_digest is {shown(stated)}, its sources say {expected}")


def _teacher_digest(record: Record) -> str:
    """As tables have it; "" where the record does not say it otherwise."""
    teachers = record.cell.reference_teachers
    digests = [source.sha256 or record.sources.get(source.cell, "") for source in teachers]
    return "+".join(each[:DIGITS] for each in digests) if all(digests) else ""


def findings_of_copies(records: Mapping[str, Record]) -> Iterator[Finding]:
    """Of records that are ok: the same logits under several keys. Of another seed, network or dataset nothing gives
    them; another method does where it makes no difference, which is a doubt: one line for two such competitors.
    """
    same: dict[str, list[str]] = defaultdict(list)
    for key, record in sorted(records.items()):
        if PREDICTIONS in record.files:
            same[record.files[PREDICTIONS]].append(key)
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, *others in same.values():
        for key in others:
            one, other = records[first].cell, records[key].cell
            if differs := _difference(one, other):
                what = f"the same logits as cell {first} of {one.label}, another {differs}"
                yield Finding(Kind.EDITED, f"cells/{key}/{PREDICTIONS}", what)
            elif one.role == other.role == STUDENT and _name(one) != _name(other):
                alike[_name(one), _name(other)].append(key)
    for (name, other_name), keys in alike.items():
        cells = "1 cell" if len(keys) == 1 else f"{len(keys)} cells"
        what = f"{cells} of {other_name} and of {name} gave the same logits, bit for bit"
        yield Finding(Kind.DOUBT, f"cells/{keys[0]}/{PREDICTIONS}", what)


def _name(cell: Cell) -> str:
    return f"{cell.method}[{cell.variant}]" if cell.variant else cell.method


def _difference(a: Cell, b: Cell) -> str:
    pairs = {"seed": (a.seed, b.seed), "network": (a.student, b.student), "dataset": (a.dataset, b.dataset)}
    return next((name for name, (left, right) in pairs.items() if left != right), "")


class Targets:
    """The labels of the test images, which all cells of a dataset share."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, str]] = defaultdict(dict)

    def add(self, record: Record, digest: str) -> None:
        """digest: of the labels in its predictions."""
        self._seen[canonical(dict(record.cell.document.get("dataset", {})))][record.cell.key] = digest

    def findings(self) -> Iterator[Finding]:
        """Those that most others do not have."""
        for found in self._seen.values():
            usual = Counter(found.values()).most_common(1)[0]
            for key, digest in found.items():
                if digest != usual[0]:
                    what = f"its labels are not those of the same test images in {usual[1]} other cells"
                    yield Finding(Kind.EDITED, f"cells/{key}/{PREDICTIONS}", what)
