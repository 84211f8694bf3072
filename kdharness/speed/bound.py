"""What sharing can gain at most."""

from __future__ import annotations


def bound(taught: int, cells: int, teacher: float, student: float, served: bool = False) -> float:
    """How many times faster cells can be together than each by itself: N (T + S) / (T + N S).

    taught: how many of the N `cells` have the teacher run. teacher, student: T, seconds of a teacher's forward pass,
    and S, of a student's training step on the same images. served: a table stands for the teacher, so that T goes.
    """
    together = 0.0 if served or not taught else teacher
    return (taught * teacher + cells * student) / (together + cells * student)


def paid_after(fill: float, without: float, with_table: float) -> float | None:
    """After how many epochs a table has paid that took `fill` seconds to fill, from an epoch's seconds without and with
    it; None where it spares nothing.
    """
    spared = without - with_table
    return fill / spared if spared > 0 else None
