"""Names of parts of the private images, and how large they are."""

from __future__ import annotations

import pytest

from kdharness.errors import UserError
from kdharness.protocol.private_parts import PrivatePart


def test_what_is_a_part() -> None:
    assert PrivatePart.of("private[3/10]") == PrivatePart(3, 10)
    assert PrivatePart.of("private[10/10]") == PrivatePart(10, 10)
    others = (
        "private",
        "teacher",
        "private[0/10]",
        "private[11/10]",
        "private[1/0]",
        "private[01/10]",
        "private[1/2]\n",
    )
    assert not any(map(PrivatePart.of, others))


def test_too_few_images() -> None:
    PrivatePart(1, 10).check(20, "split80")
    with pytest.raises(UserError, match="10 parts of 2 images or more, and scenario 'split80' keeps 19 private"):
        PrivatePart(1, 10).check(19, "split80")
    with pytest.raises(UserError, match="scenario 'clean' keeps none private"):
        PrivatePart(1, 10).check(0, "clean")
