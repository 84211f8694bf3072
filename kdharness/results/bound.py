"""What ties results to each other: a record to its weights, a student to the weights that taught it."""

from __future__ import annotations

from collections.abc import Mapping

from kdharness.results.paths import CellFiles
from kdharness.results.record import Record, Status
from kdharness.weights.digests import sha256_of

LOST = "lost"
DAMAGED = "not those of its record"


def weights_fault(files: CellFiles, record: Record) -> str:
    """What is wrong with the weights of a cell that is ok: LOST, DAMAGED, or "".

    Of a record that does not know its weights, only that they are there is known.
    """
    if not files.model.is_file():
        return LOST
    if not record.weights:
        return ""
    try:
        return "" if sha256_of(files.model) == record.weights else DAMAGED
    except OSError:
        return DAMAGED


def outdated(records: Mapping[str, Record]) -> dict[str, str]:
    """By key of a record that is ok: the key of the cell that was trained again since, with other weights.

    What was taught by something outdated is outdated too.
    """
    ties = _Ties(records)
    return {key: ties.found[key] for key in records if ties.changed(key)}


class _Ties:
    """Records and what they were taught by. found: by key of each that was looked at, what was trained again or "".

    No function that calls itself from within another: what it holds would outlive it until the collector comes.
    """

    def __init__(self, records: Mapping[str, Record]) -> None:
        self.found: dict[str, str] = {}
        self._records = records

    def changed(self, key: str) -> bool:
        """Whether the record stands no more; looks at each once."""
        record = self._records.get(key)
        if record is None or record.status is not Status.OK or key in self.found:
            return bool(self.found.get(key))
        self.found[key] = ""
        for source, weights in record.sources.items():
            now = self._records.get(source)
            known = now is not None and now.status is Status.OK and now.weights
            if self.changed(source) or (known and known != weights):
                self.found[key] = source
                break
        return bool(self.found[key])
