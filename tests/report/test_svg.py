"""Figures of a page: positions, names, and what becomes of names that are no plain text."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from kdharness.report.figures import Figure, Gain, GainFigure, Mark, OutputFigure, OutputPoint
from kdharness.report.svg import MOST_LETTERS, as_svg

NAN = math.nan


def drawn(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(as_svg(figure))


def numbers(element: ElementTree.Element, *names: str) -> list[float]:
    return [float(element.attrib[name]) for name in names]


def test_gains_lie_on_one_scale_from_zero() -> None:
    gains = (Gain("a", 2.0, 1.0, 3.0), Gain("b", -1.0, NAN, NAN), Gain("c", 0.0, -1.0, 1.0))
    svg = drawn(GainFigure("gains", "", "points over kd", gains))
    zero, *intervals = svg.findall("line")
    at_zero, _ = numbers(zero, "x1", "x2")
    a, b, c = (numbers(dot, "cx")[0] for dot in svg.findall("circle"))
    assert c == at_zero
    assert a - at_zero == pytest.approx(2 * (at_zero - b), abs=0.2)
    low, high = numbers(intervals[0], "x1", "x2")
    assert (low + high) / 2 == pytest.approx(a, abs=0.1)
    assert len(intervals) == 2  # of a and c
    assert [text.text for text in svg.findall("text") if "+" in (text.text or "")] == ["+2.00", "+0.00"]


def test_no_gains_are_an_empty_plot() -> None:
    assert drawn(GainFigure("gains", "", "points over kd", ())).findall("circle") == []


def test_long_names_are_cut_and_whole_in_their_tooltip() -> None:
    name = "m" * (MOST_LETTERS + 1)
    (text,) = [
        t
        for t in drawn(GainFigure("", "", "", (Gain(name, 1.0, NAN, NAN),))).findall("text")
        if t.find("title") is not None
    ]
    assert (text.text or "").strip() == "m" * (MOST_LETTERS - 1) + "…"
    assert text.findtext("title") == name


OUTPUTS = OutputFigure(
    "outputs",
    "",
    (
        OutputPoint(Mark.EXIT, "exit1", 1e6, 85.0, 1.0),
        OutputPoint(Mark.EXIT, "exit2", 2e6, 90.0, NAN),
        OutputPoint(Mark.ENSEMBLE, "ensemble", 4e6, 92.0, 0.5),
        OutputPoint(Mark.PLAIN, "plain student", 2e6, 88.0, NAN),
    ),
)


def test_outputs_lie_by_their_operations_and_accuracy() -> None:
    svg = drawn(OUTPUTS)
    one, two, four, plain = (numbers(dot, "cx", "cy") for dot in svg.findall("circle"))
    assert four[0] - two[0] == pytest.approx(2 * (two[0] - one[0]), abs=0.3)
    assert two[0] == plain[0]
    assert one[1] > plain[1] > two[1] > four[1]
    width, height = numbers(svg, "width")[0], float(svg.attrib["viewBox"].split()[-1])
    assert all(0 < x < width and 0 < y < height for x, y in (one, two, four, plain))


def test_only_outputs_of_their_own_are_joined() -> None:
    svg = drawn(OUTPUTS)
    (line,) = svg.findall("polyline")
    assert line.attrib["points"].split() == [
        f"{dot.attrib['cx']},{dot.attrib['cy']}" for dot in svg.findall("circle")[:2]
    ]


def test_the_plain_student_stands_apart() -> None:
    svg = drawn(OUTPUTS)
    colours = [dot.attrib["fill"] for dot in svg.findall("circle")]
    assert len(set(colours[:3])) == 1
    assert colours[3] != colours[0]
    named = [text for text in svg.findall("text") if text.find("title") is not None]
    above = [
        float(text.attrib["y"]) < float(dot.attrib["cy"])
        for text, dot in zip(named, svg.findall("circle"), strict=True)
    ]
    assert above == [True, True, True, False]


def test_ticks_are_round_and_few() -> None:
    texts = [text.text for text in drawn(OUTPUTS).findall("text") if text.get("class") == "axis"]
    assert texts == [
        "84", "86", "88", "90", "92", "1 M", "2 M", "3 M", "4 M", OUTPUTS.x_label, OUTPUTS.y_label,
    ]  # fmt: skip


def test_one_output_alone_can_be_drawn() -> None:
    one = OutputFigure("o", "", (OutputPoint(Mark.EXIT, "exit", 0.0, 0.0, NAN),))
    assert len(drawn(one).findall("circle")) == 1


@pytest.mark.parametrize(
    "figure",
    [
        GainFigure("<b>&", "", "<b>&", (Gain("<script>&", 1.0, NAN, NAN),)),
        OutputFigure('"<b>&', "", (OutputPoint(Mark.EXIT, "<script>&", 1.0, 1.0, NAN),)),
    ],
)
def test_names_are_no_markup(figure: Figure) -> None:
    text = as_svg(figure)
    assert not re.search(r"<(b|script)\b", text)
    assert "&lt;script&gt;&amp;" in text
    ElementTree.fromstring(text)
