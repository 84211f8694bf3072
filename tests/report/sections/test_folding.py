"""Where long names are broken."""

from __future__ import annotations

import pytest

from kdharness.report.sections.folding import folded, parts_of


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("rona[mechanism=gradient,target_epsilon=8.87]", 24, "rona[mechanism=gradient,|target_epsilon=8.87]"),
        ("rona[mechanism=gradient,target_epsilon=8.87]", 19, "rona[|mechanism=gradient,|target_epsilon=|8.87]"),
        ("kd[temperature=1,without=ce]", 40, "kd[temperature=1,without=ce]"),
        ("resnet32x4:resnet8x4", 12, "resnet32x4:|resnet8x4"),
        ("what others published", 10, "what|others|published"),
        ("知识蒸馏[温度=四]", 9, "知识蒸馏[|温度=四]"),
        ("bootstrapping[kind=hard]", 13, "bootstrapping|[kind=hard]"),
        ("bootstrapping[kind=hard]", 14, "bootstrapping[|kind=hard]"),
        ("unbroken", 3, "unbroken"),
        ("", 3, ""),
    ],
)
def test_names_are_broken_between_parameters_first(text: str, width: int, expected: str) -> None:
    assert folded(text, width) == expected.replace("|", "\n")


def test_a_number_is_one_part() -> None:
    assert parts_of("kd[a=0.5,without=ce]") == ["kd[", "a=", "0.5,", "without=", "ce]"]
