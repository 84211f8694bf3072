"""The page as people use it: sorted, chosen from and read in a real browser, wide and on a phone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import browser
import fabricate
import pytest

from kdharness.report.page import as_page
from kdharness.report.view import report_of
from kdharness.results.history import write_history
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium to open the page with")

LONG = "kd[" + ",".join(f"parameter_{i}=0.5" for i in range(12)) + "]"
HOSTILE = "=1+1</script><b>&'\""
SCRIPT = Path(__file__).with_name("in_the_page.js").read_text(encoding="utf-8")


def made(path: Path) -> ResultsFolder:
    """Two pairs, two regimes, curves, a failure, a long name and a hostile one."""
    records = []
    for student in ("conv16", "conv8"):
        scores: dict[str, list[float | None]] = {
            "vanilla": [80.0, 80.4, 80.1], "kd": [90.0, 91.0, 92.5], "kd[temperature=2]": [89.0, 88.2, 88.6],
            "at": [91.0, 93.0, 94.0], LONG: [70.0, 71.0, 72.0],
        }  # fmt: skip
        records += fabricate.records_of(scores, student=student)
        records += fabricate.records_of({"cs": [82.0, 82.5, 83.5]}, student=student, regime="no_teacher")
    records.append(fabricate.record(fabricate.cell(HOSTILE), None, Status.FAILED, "loss became nan"))
    folder = fabricate.write(path / "tiny", [r.cell for r in records], records)
    for each in records[:15]:
        rows = [(e, "test", "student", "top1", 50.0 + 10 * e + each.cell.seed) for e in range(1, 4)]
        write_history(folder.cell(each.cell.key).history, rows)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    return made(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def page(folder: ResultsFolder) -> str:
    return as_page([report_of(folder.load(), figures=True, appendix=True)])


@pytest.fixture(scope="module")
def wide(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = browser.said(page, SCRIPT, 1200, tmp_path_factory.mktemp("wide"))
    assert isinstance(found, dict), found
    return found


@pytest.fixture(scope="module")
def narrow(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = browser.said(page, SCRIPT, 360, tmp_path_factory.mktemp("narrow"))
    assert isinstance(found, dict), found
    return found


BEST_FIRST = ["at", "kd", "kd[temperature=2]", "vanilla", LONG]


def test_a_click_sorts_within_a_regime_and_says_how(wide: dict[str, Any]) -> None:
    assert wide["start"] == [BEST_FIRST, "16 of 16 rows shown"]
    assert all(kind == "button" and place == 0 for _, kind, place in wide["buttons"])
    first, second = wide["sorts"]["top-1 ±sd"]
    assert first == [BEST_FIRST, [["top-1 ±sd", "descending"]]]
    assert second == [BEST_FIRST[::-1], [["top-1 ±sd", "ascending"]]]
    assert wide["sorts"]["method"] == [[["at", "kd", LONG, "kd[temperature=2]", "vanilla"], [["method", "ascending"]]]]
    ((names, _),) = wide["sorts"]["vs kd"]
    assert names == ["at", "kd[temperature=2]", "vanilla", LONG, "kd"]  # the reference has no gain over itself


def test_rows_are_found_by_text_method_regime_and_setting(wide: dict[str, Any]) -> None:
    assert wide["text"] == [["kd[temperature=2]"], "2 of 16 rows shown"]
    assert wide["none"] == [[], "0 of 16 rows shown", True]
    names, panels = wide["method"]
    assert set(names) == {"kd", "kd[temperature=2]", LONG}
    assert set(panels) == {"kd", "kd[temperature=2]", LONG}
    regimes, shown = wide["regime"]
    assert (set(regimes), shown) == ({"no teacher"}, "6 of 16 rows shown")
    assert wide["setting"] == [1, "8 of 16 rows shown"]
    assert wide["end"] == "16 of 16 rows shown"


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_the_page_never_scrolls_sideways_and_loses_no_column(width: str, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue(width)
    window, root, body, _, _ = found["width"]
    assert window == {"wide": 1200, "narrow": 360}[width]
    assert max(root, body) <= window
    assert all(visible for _, visible in found["columns"])
    assert [text for text, _ in found["columns"]][-2:] == ["train s", "MiB"]
    assert found["last"]
    assert found["start"][0] == BEST_FIRST


def test_on_a_phone_the_table_scrolls_beside_its_names(narrow: dict[str, Any]) -> None:
    *_, box, table = narrow["width"]
    assert table > box
    scrolled, left = narrow["sticky"]
    assert scrolled > 0
    assert left == pytest.approx(0.0, abs=1.0)


def test_lines_of_a_row_meet_and_names_have_room_on_a_phone(narrow: dict[str, Any]) -> None:
    assert {height % 1 for height in narrow["rows"]} == {0}  # else the line under a name lies beside the others
    assert narrow["name"] == 152  # 9.5 rem, so that a parameter's name stands on one line


def test_what_is_seen_has_a_name_for_those_who_do_not_see(wide: dict[str, Any]) -> None:
    assert wide["unnamed"] == 0
    place, role, label = wide["box"]
    assert (place, role) == (0, "region")
    assert label.startswith("tiny · digits · conv32:conv")
    assert wide["contrast"] >= 4.5


def test_dark_is_dark_and_readable(page: str, tmp_path: Path) -> None:
    found = browser.said(page, SCRIPT, 1200, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert sum(found["ground"]) < 150
    assert found["contrast"] >= 4.5


def test_figures_and_tracebacks_are_there(wide: dict[str, Any]) -> None:
    kinds = {title.rpartition(" · ")[2] for title in wide["figures"]}
    assert kinds >= {"gain over vanilla", "gain against cost", "learning curves on test", "gain over kd by pair"}
    assert wide["drawings"]
    assert wide["trace"] == "Traceback ..."


def test_names_are_no_markup_in_a_browser(wide: dict[str, Any]) -> None:
    assert wide["markup"] == 0


def test_downloads_are_the_files_that_a_run_writes(wide: dict[str, Any], folder: ResultsFolder, tmp_path: Path) -> None:
    files = dict(wide["downloads"])
    assert list(files) == ["results.csv", "metrics.csv", "leaderboard.csv"]
    start, _, content = files["results.csv"].partition(",")
    assert start == "data:text/csv;charset=utf-8;base64"
    write_csv(folder.load().frame, tmp_path / "results.csv")
    assert base64.b64decode(content) == (tmp_path / "results.csv").read_bytes()
    assert b"'=1+1</script>" in base64.b64decode(content)
