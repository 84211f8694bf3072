"""Figures of a page: positions, names, and what becomes of names that are no plain text."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from kdharness.report.drawing.axes import across, usual_span
from kdharness.report.drawing.elements import MOST_LETTERS
from kdharness.report.drawing.figures import as_element
from kdharness.report.drawing.gains import is_wide
from kdharness.report.drawing.panels import MOST_LETTERS as MOST_DIGITS
from kdharness.report.drawing.points import LINE_HEIGHT
from kdharness.report.figures import (
    Curve,
    CurveFigure,
    Figure,
    Gain,
    GainFigure,
    HeatCell,
    HeatFigure,
    Mark,
    OutputFigure,
    OutputPoint,
    Point,
    PointFigure,
    Profile,
    ProfileFigure,
    Reliability,
    ReliabilityBin,
    ReliabilityFigure,
)

NAN = math.nan


def drawn(figure: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(as_element(figure))


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
    corners = [tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()]
    assert corners == [tuple(numbers(dot, "cx", "cy")) for dot in svg.findall("circle")[:2]]


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


def test_names_of_outputs_turn_away_from_each_other() -> None:
    near = (OutputPoint(Mark.EXIT, "exit", 2e6, 75.6, NAN), OutputPoint(Mark.PLAIN, "plain student", 2e6, 78.0, NAN))
    far = (OutputPoint(Mark.EXIT, "first", 1e6, 65.0, NAN),)
    svg = drawn(OutputFigure("outputs", "", (*far, *near)))
    heights = {
        t.text.strip(): numbers(t, "y")[0] for t in svg.findall("text") if t.find("title") is not None and t.text
    }
    dots = [numbers(dot, "cy")[0] for dot in svg.findall("circle")]
    assert heights["exit"] > dots[1]
    assert heights["plain student"] < dots[2]
    assert heights["exit"] - heights["plain student"] > 2 * LINE_HEIGHT


def test_names_leave_the_numbers_of_an_axis_alone() -> None:
    def left_of_its_point(y: float) -> bool:
        shown = (Point("m" * 8, 1.0, y), Point("a", 1.05, y + 0.02), Point("b", 9.0, 1.0), Point("c", 9.0, 0.0))
        texts = drawn(PointFigure("", "", "x", "y", shown)).findall("text")
        return ("m" * 8, "end") in [(text.text, text.get("text-anchor")) for text in texts]

    assert left_of_its_point(0.25)
    assert not left_of_its_point(0.5)  # where a number stands


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
    text = as_element(figure)
    assert not re.search(r"<(b|script)\b", text)
    assert "&lt;script&gt;&amp;" in text
    ElementTree.fromstring(text)


def points_of(*ys: float, mark: str = "") -> PointFigure:
    found = tuple(Point(f"m{i}", float(i + 1), y, y - 0.1, y + 0.1, marked=i < 2) for i, y in enumerate(ys))
    return PointFigure("points", "", "seconds", "points over kd", found, mark)


def test_points_lie_by_both_numbers_and_the_marked_are_joined_by_steps() -> None:
    svg = drawn(points_of(1.0, 3.0, 2.0, mark="best"))
    by_name = {(dot.findtext("title") or "").partition(":")[0]: numbers(dot, "cx", "cy") for dot in svg.iter("circle")}
    assert by_name["m1"][0] - by_name["m0"][0] == pytest.approx(by_name["m2"][0] - by_name["m1"][0], abs=0.2)
    assert by_name["m0"][1] > by_name["m2"][1] > by_name["m1"][1]
    (joined,) = svg.findall("polyline")
    corners = [[float(n) for n in corner.split(",")] for corner in joined.attrib["points"].split()]
    assert corners == [by_name["m0"], [by_name["m1"][0], by_name["m0"][1]], by_name["m1"]]
    assert {dot.attrib["fill"] for dot in svg.iter("circle")} == {"var(--accent)", "var(--dim)"}


def test_one_far_off_leaves_room_for_the_others() -> None:
    svg = drawn(points_of(1.0, 1.1, 1.2, 1.3, 1.4, -90.0))
    heights = [numbers(dot, "cy")[0] for dot in svg.iter("circle")]
    assert len(heights) == 5
    assert max(heights) - min(heights) > 100
    (arrow,) = [text for text in svg.findall("text") if (text.text or "").startswith("▼")]
    assert arrow.findtext("title") == "m5: 6, -90"
    gains = tuple(Gain(f"m{i}", y, y - 0.1, y + 0.1) for i, y in enumerate((1.0, 1.1, 1.2, 1.3, -90.0)))
    forest = drawn(GainFigure("gains", "", "points", gains))
    assert len(forest.findall("circle")) == 4
    assert "-90.00" in [text.text for text in forest.findall("text")]


def test_all_is_seen_where_the_others_keep_room() -> None:
    svg = drawn(points_of(-8.44, -6.46, -5.84, -5.82, -4.88, 0.0))
    assert len(list(svg.iter("circle"))) == 6
    assert usual_span([-8.44, -6.46, -5.84, -5.82, -4.88, 0.0]) == (-8.44, 0.0)
    assert usual_span([1.0, 1.1, 1.2, 1.3, 1.4, -90.0]) == (1.0, 1.4)


def test_nothing_lies_on_the_words_of_the_upper_axis() -> None:
    svg = drawn(points_of(90.0, 1.0, 1.1, 1.2, 1.3, 1.4))
    (words,) = [text for text in svg.findall("text") if text.text == "points over kd"]
    (below,) = numbers(words, "y")
    above = [numbers(t, "y")[0] for t in svg.findall("text") if t is not words]
    assert "m0" in [text.text for text in svg.findall("text")]
    assert min(above) - LINE_HEIGHT > below


def test_gains_with_long_names_have_the_page_for_themselves() -> None:
    short, long = (GainFigure("", "", "", (Gain("m" * n, 1.0, NAN, NAN),)) for n in (12, 40))
    assert not is_wide(short)
    assert is_wide(long)


@pytest.mark.parametrize(
    ("least", "text"), [(0.0465, "0.046"), (-0.0465, "-0.05"), (1.2345e-05, "1e-05"), (79.64, "79.6"), (-0.5, "-0.5")]
)
def test_numbers_of_panels_fit_left_of_them(least: float, text: str) -> None:
    curve = Curve("kd", 1, (1, 2), (least, least + 0.01), (NAN, NAN), (NAN, NAN))
    (panel,) = panels(CurveFigure("curves", "", "loss", "", (curve,)))
    axis = [each for each in panel.iter("text") if each.get("class") == "axis"]
    assert axis[0].text == text
    assert numbers(axis[0], "x")[0] >= 7 * MOST_DIGITS


def test_names_in_a_crowd_do_not_lie_on_each_other() -> None:
    crowd = tuple(Point("a long name of a method", 1.0 + i / 1000, 1.0 + i / 1000) for i in range(40))
    svg = drawn(PointFigure("crowd", "", "x", "y", (*crowd, Point("alone", 3.0, 3.0))))
    names = [text.text for text in svg.findall("text") if text.get("class") is None]
    assert "alone" in names
    assert 1 < len(names) < 20
    assert len(list(svg.iter("circle"))) == 40  # that one lies beyond the others


def test_numbers_that_lie_far_apart_stand_by_their_logarithms() -> None:
    assert [round(value, 9) for value in across(1.0, 100.0).ticks] == [
        0.5,
        1.0,
        2.0,
        5.0,
        10.0,
        20.0,
        50.0,
        100.0,
        200.0,
    ]
    assert not across(1.0, 2.0).is_log
    assert not across(0.0, 100.0).is_log


def panels(figure: Figure) -> list[ElementTree.Element]:
    return drawn(figure).findall("div")


def test_curves_are_panels_with_bands_on_the_same_axes() -> None:
    whole = Curve("kd", 3, (1, 2, 3), (10.0, 20.0, 30.0), (9.0, 19.0, 20.0), (11.0, 21.0, 90.0))
    bare = Curve("<at>", 2, (1, 2), (10.0, 30.0), (NAN, NAN), (NAN, NAN))
    kd, at = panels(CurveFigure("curves", "", "top-1", "95 %", (whole, bare), "kd"))
    assert (at.findtext("p"), at.attrib["data-name"]) == ("<at>", "<at>")
    assert len(kd.findall("svg/polygon")) == 1
    assert at.findall("svg/polygon") == []
    assert [line.attrib["class"] for line in kd.iter("polyline")] == ["curve"]
    assert [line.attrib["class"] for line in at.iter("polyline")] == ["beside", "curve"]
    assert at.find("svg").attrib["aria-label"].startswith("<at>: top-1, 10 at epoch 1, 30 at epoch 2")  # type: ignore[union-attr]
    band = kd.find("svg/polygon").attrib["points"].split()  # type: ignore[union-attr]
    assert all(6 <= float(corner.split(",")[1]) <= 102 for corner in band)


def test_profiles_are_panels_with_the_reference_beside() -> None:
    lines = (Profile("<at>", (0.5, 0.75, 1.0)), Profile("kd", (0.0, 0.25, 0.5)))
    at, kd = panels(ProfileFigure("profile", "", "points below", (0.0, 1.0, 2.0), lines, "kd"))
    assert [line.attrib["class"] for line in at.iter("polyline")] == ["beside", "curve"]
    assert [line.attrib["class"] for line in kd.iter("polyline")] == ["curve"]
    corners = at.findall("svg/polyline")[1].attrib["points"].split()
    assert [tuple(map(float, corner.split(","))) for corner in corners] == [(40, 54), (112, 30), (184, 6)]
    label = at.find("svg").attrib["aria-label"]  # type: ignore[union-attr]
    assert label == "<at>: share of the blocks by points below, 50% at 0, 100% at 2"


def test_many_epochs_are_drawn_through_a_part_of_them() -> None:
    epochs = tuple(range(1, 1001))
    means = tuple(float(epoch) for epoch in epochs)
    (panel,) = panels(CurveFigure("curves", "", "y", "", (Curve("kd", 3, epochs, means, means, means),)))
    (line,) = panel.iter("polyline")
    corners = [corner.split(",") for corner in line.attrib["points"].split()]
    assert len(corners) == 120
    assert [float(corners[0][0]), float(corners[-1][0])] == [40.0, 184.0]


def test_a_single_level_can_be_drawn() -> None:
    (panel,) = panels(CurveFigure("c", "", "y", "", (Curve("kd", 1, (5, 6), (2.0, 2.0), (NAN, NAN), (NAN, NAN)),)))
    assert "nan" not in ElementTree.tostring(panel, "unicode")


def test_reliability_has_a_dot_for_each_bin() -> None:
    bins = (ReliabilityBin(0.5, 0.25, 0.1), ReliabilityBin(0.9, 1.0, 0.9))
    (panel,) = panels(ReliabilityFigure("reliability", "", (Reliability("kd", 3, bins),)))
    low, high = (numbers(dot, "cx", "cy", "r") for dot in panel.iter("circle"))
    assert (low[0] < high[0], low[1] > high[1], low[2] < high[2]) == (True, True, True)
    assert panel.find("svg").attrib["aria-label"].endswith("in 2 bins, 0.115 apart on average")  # type: ignore[union-attr]


def test_pairs_are_a_table_whose_colours_follow_the_gain() -> None:
    cells = ((HeatCell(2.0, True), HeatCell(-1.0)), (HeatCell(NAN), HeatCell(0.0)))
    table = drawn(HeatFigure("pairs", "", "points over kd", ("<a>", "b"), ("t:s", "t:u"), cells))
    assert [th.text for th in table.iter("th")] == ["method", "t:s", "t:u", "<a>", "b"]
    found = [(td.text, td.get("class"), td.get("style")) for td in table.iter("td")]
    assert found == [
        ("+2.00", "up settled", "--strength: 100"), ("-1.00", "down", "--strength: 50"), (None, None, None),
        ("+0.00", "up", "--strength: 0"),
    ]  # fmt: skip
