"""Names of methods and metrics that a comparison is asked about."""

from __future__ import annotations

import re

import fabricate
import pytest

from kdharness.errors import UnknownName, UserError
from kdharness.stats.question import Question, check_measured, chosen_of, column_of, competitors_of, reference_of

FRAME = fabricate.scores_table({"vanilla": [1.0], "kd": [2.0], "kd[a=1,b=2]": [3.0]})
KNOWN = competitors_of(FRAME)


def test_a_comma_in_brackets_parts_nothing() -> None:
    assert chosen_of("kd[a=1,b=2], vanilla,kd[a=1,b=2]", KNOWN, "--method") == (("kd", "a=1,b=2"), ("vanilla", ""))


def test_all_is_everything_unless_a_method_is_called_so() -> None:
    assert chosen_of("all", KNOWN, "--method") is None
    assert chosen_of("all", {"all": ("all", "")}, "--method") == (("all", ""),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vanila", "unknown method 'vanila' (--method); did you mean 'vanilla'?"),
        (" , ", "--method names no method; 'all', or names a,b"),
    ],
)
def test_a_wrong_name_is_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        chosen_of(text, KNOWN, "--method")


def test_columns_that_hold_numbers() -> None:
    frame = FRAME.assign(x_top3=[1.0, 2.0, 3.0], x_words="text")
    assert column_of("top1", frame) == "top1"
    assert column_of("top3", frame) == column_of("x_top3", frame) == "x_top3"
    for name in ("words", "seed", "method", "protocol", "epsilon"):
        with pytest.raises(UnknownName):
            column_of(name, frame)


def test_the_last_usual_reference_that_is_there() -> None:
    assert reference_of(None, ("vanilla", "kd", "other"), KNOWN) == ("kd", "")
    assert reference_of("kd[a=1,b=2]", (), KNOWN) == ("kd", "a=1,b=2")
    with pytest.raises(UserError, match="none of the usual references is here"):
        reference_of(None, ("other",), KNOWN)
    with pytest.raises(UnknownName, match="--reference"):
        reference_of("dk", (), KNOWN)


def test_the_reference_is_shown_with_what_is_chosen() -> None:
    assert Question(("kd", ""), chosen=(("at", ""),)).shown == frozenset({("kd", ""), ("at", "")})
    assert Question(("kd", "")).shown is None
    assert Question(("kd", "t=1")).reference_name == "kd[t=1]"


def test_what_has_no_value_is_said() -> None:
    frame = fabricate.scores_table({"vanilla": [1.0, 2.0], "kd": [None, None]})
    check_measured(frame, Question(("vanilla", "")))
    with pytest.raises(UserError, match=r"^the reference 'kd' has no top1; these have: vanilla$"):
        check_measured(frame, Question(("kd", "")))
    with pytest.raises(UserError, match=r"^no student here has a val_top1$"):
        check_measured(frame, Question(("vanilla", ""), "val_top1", "val_top1"))
    check_measured(fabricate.scores_table({"kd": [None]}), Question(("kd", "")))
