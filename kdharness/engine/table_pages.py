"""What view tables give of one epoch: rows that are there, rows that are made for them, and rows to be kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdharness.api.declarations import Tap, Wanted
from kdharness.api.staged import Outputs, StagedModel
from kdharness.data.batches import EpochBatches
from kdharness.data.pictures import Pictures
from kdharness.data.sheet import Found, Numbers, Rows
from kdharness.data.views import ViewKey
from kdharness.engine.teachers import Teacher
from kdharness.engine.view_table import EMBEDDING, LOGITS, ViewTable, rows_of
from kdharness.engine.view_tables import ViewTables
from kdharness.planning.teacher_uses import is_of_rows

# How much of an epoch must be there before the rest is made in batches of its own. Below it the teacher runs online,
# on pictures that the students are shown anyway, and what it says is kept.
LEAST_FOUND = 0.1

# So many full batches are compared with the teacher's own word before a table is first used.
COMPARED = 3


def kept_outputs(wanted: Wanted) -> tuple[str, ...]:
    """What of all that is wanted a table keeps."""
    return (LOGITS, EMBEDDING) if "embedding" in wanted.taps else (LOGITS,)


class Pages:
    """The tables of one epoch of one group, a page for each teacher and view.

    by_name: whether rows of a table are what a teacher says, whatever it would say online.
    """

    def __init__(self, tables: ViewTables, batches: EpochBatches, by_name: bool) -> None:
        self.tables = tables
        self.batches = batches
        self.by_name = by_name
        self._pages: dict[tuple[int, ViewKey, Wanted], Page | None] = {}

    def outputs(
        self, teacher: Teacher, view: ViewKey, number: int, wanted: Wanted, run: Callable[[], Outputs]
    ) -> Outputs:
        """A teacher on batch `number`. run: asks it online."""
        page = self._page(teacher, view, wanted)
        return run() if page is None else page.outputs(number, run)

    @property
    def keeps(self) -> bool:
        """Whether `commit` has anything to write."""
        return any(page is not None and page.keeps for page in self._pages.values())

    def commit(self) -> None:
        """Keeps what teachers said, once it is known that nobody changed them or the batches."""
        for page in self._pages.values():
            if page is not None and not page.commit():
                self.tables.give_up(f"there is no room for {page.table.folder}")

    def _page(self, teacher: Teacher, view: ViewKey, wanted: Wanted) -> Page | None:
        key = id(teacher), view, wanted
        if key not in self._pages:
            self._pages[key] = self._opened(teacher, view, wanted)
        return self._pages[key]

    def _opened(self, teacher: Teacher, view: ViewKey, wanted: Wanted) -> Page | None:
        if not (bool(teacher.facts) and is_of_rows(wanted) if self.by_name else self.tables.knows(teacher)):
            return None
        each = self.batches.pictures_each(view)
        if not each or not (self.by_name or self.tables.serves(teacher, each)):
            return None
        pictures = self.batches.pictures(view)
        size = self.batches.bounds[0][1] - self.batches.bounds[0][0]
        table = self.tables.of(teacher, view.name, self.batches.info, size, pictures.total)
        outputs = kept_outputs(wanted)
        page = Page(table, pictures, self.batches.bounds, outputs, teacher.model, self.batches.device.torch)
        if self.by_name:
            page.fill_in_order()
        elif is_of_rows(wanted):
            page.begin(lambda number: self.batches.samples(number).view(view), self.tables.say)
        else:
            page.listen()
        return page


class Page:
    """One table in one epoch.

    outputs: which are read or kept. bounds: of the epoch's batches. served: by output, the epoch's rows [n, width] on
    the device; none while the teacher runs online.
    """

    def __init__(
        self,
        table: ViewTable,
        pictures: Pictures,
        bounds: Sequence[tuple[int, int]],
        outputs: tuple[str, ...],
        model: StagedModel,
        device: torch.device,
    ) -> None:
        self.table = table
        self.pictures = pictures
        self.bounds = bounds
        self.wanted = outputs
        self.model = model
        self.device = device
        self.size = bounds[0][1] - bounds[0][0]
        self.served: dict[str, Tensor] = {}
        self._taps: tuple[Tap, ...] = ("embedding",) if EMBEDDING in outputs else ()
        self._checks: dict[int, bool] = {}
        self._is_defined = False
        self._keeps = True
        self._lacking = np.ones(len(pictures.ids), bool)
        self._made: list[tuple[Numbers, dict[str, Tensor]]] = []

    # -- how the epoch begins -----------------------------------------------------------------------------------------

    def begin(self, pixels: Callable[[int], Tensor], say: Callable[[str], None]) -> None:
        """Serves the epoch where enough of it is there and equals what the teacher says online, bit for bit.

        pixels: of a batch, as students are shown them. say: takes why the teacher stays online.
        """
        if self._check_of(self.size) is False:
            self._keeps = False
            return
        rows, found = self._read()
        self._lacking = ~found
        if found.mean() < LEAST_FOUND:
            return
        missing = np.unique(self.pictures.ids[~found])
        self._serve(rows, missing, packed(missing, self.size))
        if not self._checked(pixels):
            self.served, self._made, self._keeps = {}, [], False
            what = f"batches of {self.size} pictures of {self.model.spec.name} are not, bit for bit, what it makes of"
            say(f"{what} them in other company: its outputs are not kept, and it runs online")

    def listen(self) -> None:
        """The teacher runs online, for somebody reads its maps; what others may want of it is kept."""
        self._lacking = self.table.lacks(self.wanted, self.pictures.ids)
        self._keeps = bool(self._lacking.any()) and self._check_of(self.size) is not False

    def fill_in_order(self) -> None:
        """Serves the epoch by rows that each were made in one batch of their own, whoever asked first: of the images
        beside it in the split, under the picture's number.
        """
        rows, found = self._read()
        missing = np.unique(self.pictures.ids[~found])
        self._is_defined = True
        self._serve(rows, missing, in_order(missing, self.pictures, self.size))

    def _read(self) -> tuple[dict[str, Rows], Found]:
        """What is there of the epoch, and of which samples all of it is."""
        ids = self.pictures.ids
        if not all(self.table.has(output) for output in self.wanted):
            return {}, np.zeros(len(ids), bool)
        read = {output: self.table.read(output, ids) for output in self.wanted}
        found = np.logical_and.reduce([there for _, there in read.values()])
        return {output: values for output, (values, _) in read.items()}, found

    def _serve(self, rows: dict[str, Rows], missing: Numbers, batches: Iterable[Batch]) -> None:
        """Makes what is missing, a batch at a time, and puts it among the rows."""
        made = [(batch.own, self._run(batch)) for batch in batches]
        if not self._keeps:
            return
        self._made += made
        ids = self.pictures.ids
        for output in self.wanted:
            if made:
                fresh = rows_of(torch.cat([parts[output] for _, parts in made]))
                names, places = np.unique(np.concatenate([own for own, _ in made]), return_index=True)
                values = rows.get(output, np.zeros((len(ids), fresh.shape[1]), np.float32))
                lacking = np.isin(ids, missing)
                values[lacking] = fresh[places[np.searchsorted(names, ids[lacking])]]
                rows[output] = values
            self.served[output] = torch.from_numpy(rows[output]).to(self.device)

    def _run(self, batch: Batch) -> dict[str, Tensor]:
        """What the teacher makes of the batch's own pictures."""
        with torch.no_grad():
            made = self.model.run(self.pictures.make(batch.ids), self._taps)
        self._keeps = self._keeps and not made.named
        return {output: rows[: len(batch.own)] for output, rows in self._parts(made).items()}

    def _parts(self, made: Outputs) -> dict[str, Tensor]:
        return {output: getattr(made, output) for output in self.wanted}

    def _checked(self, pixels: Callable[[int], Tensor]) -> bool:
        """Whether full batches equal the teacher's own. The short last one is looked at for itself."""
        full = [number for number, (start, end) in enumerate(self.bounds) if end - start == self.size]
        for size, numbers in ((self.size, full[:COMPARED]), (self._last, [len(self.bounds) - 1])):
            if self._check_of(size) is None:
                self._checks[size] = all(self._equals(number, pixels(number)) for number in numbers)
        return self._check_of(self.size) is True

    def _check_of(self, size: int) -> bool | None:
        """What is known of batches of this size, or was found out in this epoch."""
        return self._checks.get(size, self.table.check_of(size))

    @property
    def _last(self) -> int:
        """How many samples the last batch has."""
        return self.bounds[-1][1] - self.bounds[-1][0]

    def _equals(self, number: int, pixels: Tensor) -> bool:
        start, end = self.bounds[number]
        with torch.no_grad():
            made = self.model.run(pixels, self._taps)
        parts = self._parts(made)
        return not made.named and all(torch.equal(parts[o], self.served[o][start:end]) for o in self.wanted)

    # -- batch by batch -----------------------------------------------------------------------------------------------

    def outputs(self, number: int, run: Callable[[], Outputs]) -> Outputs:
        """The teacher on batch `number`; what it says online is kept where it is of the table's size."""
        start, end = self.bounds[number]
        if self.served and self._serves(end - start):
            # Copies: a cell that writes into its own spoils no other's.
            parts = {output: rows[start:end].clone() for output, rows in self.served.items()}
            taps = {name: value for name, value in parts.items() if name == EMBEDDING}
            return Outputs(self.model, parts[LOGITS], taps)
        made = run()
        self._keeps = self._keeps and not made.named
        if self._keeps and end - start == self.size and self._lacking[start:end].any():
            parts = {output: value.detach().clone() for output, value in self._parts(made).items()}
            self._made.append((self.pictures.ids[start:end], parts))
        return made

    def _serves(self, size: int) -> bool:
        return self._is_defined or self._check_of(size) is True

    @property
    def keeps(self) -> bool:
        """Whether anything was made or found out that is to be written."""
        return bool(self._checks) or (self._keeps and bool(self._made))

    def commit(self) -> bool:
        """Writes what was made and found out; whether there was room."""
        made, self._made = self._made, []
        checks, self._checks = self._checks, {}
        if checks and not self.table.note_checks(checks):
            return False
        if not self._keeps or not made:
            return True
        ids = np.concatenate([ids for ids, _ in made])
        names, places = np.unique(ids, return_index=True)
        return all(
            self.table.write(output, names, rows_of(torch.cat([parts[output] for _, parts in made]))[places])
            for output in self.wanted
        )


@dataclass(frozen=True)
class Batch:
    """Pictures to be run together, of which only the first `count` are wanted: the others fill it up."""

    ids: Numbers
    count: int

    @property
    def own(self) -> Numbers:
        return self.ids[: self.count]


def packed(missing: Numbers, size: int) -> Iterator[Batch]:
    """Pictures in batches of one size, the last one filled up by the first of them."""
    filled = np.resize(missing, math.ceil(len(missing) / size) * size)
    for start in range(0, len(missing), size):
        yield Batch(filled[start : start + size], min(size, len(missing) - start))


def in_order(missing: Numbers, pictures: Pictures, size: int) -> Iterator[Batch]:
    """The batches that the missing pictures belong to: `size` images that follow each other in the split, under one
    number. The last images of the split are filled up by its first.
    """
    images, numbers = np.divmod(missing, pictures.each)
    for start, number in np.unique(np.stack([images // size * size, numbers]), axis=1).T.tolist():
        block = np.arange(start, start + size, dtype=np.int64) % pictures.images
        yield Batch(block * pictures.each + number, min(size, pictures.images - start))
