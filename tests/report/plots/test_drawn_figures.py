"""Every kind of figure becomes files for print, with the same bytes each time."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

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
from kdharness.report.plots.files import rendered, write_figures

pytest.importorskip("matplotlib")

HOSTILE = "<script>$\\frac{ --> \x1b[31m"
GAIN = GainFigure("gains", "", "points over kd", (Gain("a", 1.0, 0.5, 1.5), Gain(HOSTILE, -1.0, math.nan, math.nan)))
POINTS = PointFigure(
    "cost",
    "recipe.epochs=3",
    "seconds",
    "points",
    tuple(Point(f"m{i}", 2.0**i, i, i - 1, i + 1, i % 3 == 0) for i in range(20)),
    "best",
)
CURVES = CurveFigure(
    "curves",
    "",
    "top-1",
    "95 % interval",
    tuple(Curve(f"m{i}", 3, (1, 2), (50.0, 60.0 + i), (49.0, 58.0), (51.0, 62.0)) for i in range(9)),
    "m0",
)
HEAT = HeatFigure(
    "heat",
    "",
    "points",
    ("a", "b"),
    ("t:s", "t:u"),
    ((HeatCell(1.0, True), HeatCell(-1.0)), (HeatCell(math.nan), HeatCell(2.0))),
)
BINS = (ReliabilityBin(0.5, 0.4, 0.25), ReliabilityBin(0.9, 0.95, 0.75))
RELIABILITY = ReliabilityFigure("reliability", "", tuple(Reliability(f"m{i}", 5, BINS) for i in range(8)))
OUTPUTS = OutputFigure(
    "outputs",
    "",
    (OutputPoint(Mark.EXIT, "exit1", 1e6, 80.0, 1.0), OutputPoint(Mark.PLAIN, "plain", 2e6, 85.0, math.nan)),
)
PROFILES = ProfileFigure(
    "profile", "", "points below", (0.0, 1.0), tuple(Profile(f"m{i}", (i / 10, 1.0)) for i in range(9)), "m0"
)
EVERY = (GAIN, POINTS, CURVES, HEAT, RELIABILITY, OUTPUTS, PROFILES)


def texts(figure: Figure) -> list[str]:
    """What an SVG file says: letters are drawn, and what they say stands beside in comments."""
    return re.findall(r"<!-- (.*?) -->", rendered(figure, "svg").decode())


def axes_of(figure: Figure) -> Any:
    from kdharness.report.plots.drawing import drawn
    from kdharness.report.plots.style import in_style

    with in_style("salt"):
        return drawn(figure).axes[0]


@pytest.mark.parametrize("figure", EVERY, ids=lambda figure: type(figure).__name__)
def test_every_kind_is_drawn_alike_each_time(figure: Figure) -> None:
    first = rendered(figure, "svg")
    assert first == rendered(figure, "svg")
    assert figure.title in texts(figure)
    assert b"<dc:date>" not in first
    assert rendered(figure, "png").startswith(b"\x89PNG")


def test_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="no drawing of a Figure"):
        rendered(Figure("a", ""), "svg")


def test_names_are_text_and_no_formula() -> None:
    text = rendered(GAIN, "svg").decode()
    assert "<script" not in text
    assert "\x1b" not in text
    assert any("script" in said and "frac" in said for said in texts(GAIN))


def test_letters_are_large_enough_for_print() -> None:
    for figure in EVERY:
        axes = axes_of(figure)
        sizes = [label.get_fontsize() for label in (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())]
        assert min([axes.title.get_fontsize(), axes.xaxis.label.get_fontsize(), *sizes]) >= 8


def test_of_many_points_the_marked_have_names() -> None:
    said = texts(POINTS)
    assert {"m0", "m3", "m18"} <= set(said)
    assert not {"m1", "m2", "m19"} & set(said)
    assert "deviates from the benchmark: recipe.epochs=3" in said


def test_of_many_curves_the_first_have_names_and_the_reference() -> None:
    said = texts(CURVES)
    assert [f"m{i} (n=3)" for i in range(1, 7)] == [text for text in said if re.fullmatch(r"m[1-9] \(n=3\)", text)]
    assert "m0 (n=3)" in said
    assert "2 others" in said


def test_a_wild_interval_does_not_press_the_others() -> None:
    tame = tuple(Gain(f"m{i}", i, i - 0.5, i + 0.5) for i in range(5))
    low, high = axes_of(GainFigure("a", "", "points", (*tame, Gain("wild", 2.0, -100.0, 100.0)))).get_xlim()
    assert (low, high) == pytest.approx((-1.0, 5.0))


def test_a_map_shows_numbers_and_what_is_settled() -> None:
    cells = {text.get_text(): text.get_weight() for text in axes_of(HEAT).texts}
    assert cells == {"+1.00": "bold", "-1.00": "normal", "+2.00": "normal"}


def test_names_of_points_do_not_stand_on_each_other() -> None:
    near = tuple(Point(f"method_{i}", 1.0 + i / 1000, 50.0 + i / 1000) for i in range(8))
    from kdharness.report.plots.labels import box_of

    boxes = [box_of(text) for text in axes_of(PointFigure("a", "", "x", "y", near)).texts]
    assert len(boxes) == 8
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_figures_of_one_name_are_two_files(tmp_path: Path) -> None:
    titles = ("结果", "数据", "a/b", "a b")
    paths = write_figures([GainFigure(title, "", "points", GAIN.gains[:1]) for title in titles], tmp_path)
    assert [path.name for path in paths if path.suffix == ".svg"] == [
        "figure.svg",
        "figure-2.svg",
        "a-b.svg",
        "a-b-2.svg",
    ]
    assert all(path.is_file() for path in paths)
