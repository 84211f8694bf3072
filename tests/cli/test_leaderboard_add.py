"""`kdharness leaderboard add`: what is checked, what is written, and that the way there changes no byte."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from kdharness.cli import board_adding
from kdharness.cli.main import execute
from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry
from kdharness.report.leaderboard import write_tables
from kdharness.results import store
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder
from kdharness.results.submission import read_submission

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import fabricate

SCORES = {"vanilla": 80.0, "kd": 83.0, "mine": 84.0}
USUAL = ("vanilla", "kd")
MINE = """
from kdharness.api import Method, MethodSpec, hookimpl


class Mine(Method):
    '''Labels alone, once more.'''
    name = "mine"
    weight: float = 0.5

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Mine)]
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plan(plugin: Path) -> Plan:
    """Of digits, three methods and three seeds."""
    return make_plan(load("digits"), Selection(methods=tuple(SCORES), seeds=(0, 1, 2)), Registry.load([plugin]))


Write = Callable[..., ResultsFolder]


@pytest.fixture
def write(tmp_path: Path, plan: Plan) -> Write:
    """A run's folder of some methods and seeds, with made-up numbers."""

    def made(name: str, methods: tuple[str, ...] = USUAL, seeds: tuple[int, ...] = (0, 1, 2)) -> ResultsFolder:
        wanted = [
            entry for entry in plan.cells
            if entry.cell.role == "teacher" or (entry.cell.method in methods and entry.cell.seed in seeds)
        ]  # fmt: skip
        folder = ResultsFolder(tmp_path / name / "digits")
        folder.plans.write(Plan("digits", tuple(wanted), references=plan.references, created_at=f"2026-{name}"))
        for entry in wanted:
            folder.write_record(record_of(entry.cell))
        write_tables(folder.load())
        return folder

    return made


def record_of(cell: fabricate.Cell) -> Record:
    if cell.role == "teacher":
        return fabricate.record(cell, 96.5)
    digest = {"teacher_digest": "ab12cd34"} if cell.teachers else {}
    return fabricate.record(cell, SCORES[cell.method] + cell.seed / 4, **digest)


def add(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str]]:
    code = execute(["leaderboard", "add", *map(str, arguments)])
    return code, capsys.readouterr().err.splitlines()


def test_two_machines_in_either_order_give_the_leaderboard_of_one(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """As folders and as tables, at once and one after the other."""
    one, two, both = write("one", seeds=(0, 2)), write("two", seeds=(1,)), write("both")
    boards = [tmp_path / f"board{number}" for number in range(3)]
    code, lines = add(capsys, one.path, two.path, "--to", boards[0])
    assert (code, lines[-1]) == (0, f"{boards[0]}: 7 rows added, 1 known already")
    for path in (two.tables.results, one.tables.results):
        assert add(capsys, path, "--to", boards[1] / "leaderboard.csv")[0] == 0
    assert execute(["leaderboard", str(two.path), str(one.path), "--out", str(tmp_path / "merged.csv")]) == 0
    expected = both.tables.leaderboard.read_bytes()
    assert {(board / "leaderboard.csv").read_bytes() for board in boards[:2]} == {expected}
    assert (tmp_path / "merged.csv").read_bytes() == expected
    assert len({(board / "results.csv").read_bytes() for board in boards[:2]}) == 1
    assert pd.read_csv(boards[0] / "leaderboard.csv")["n"].to_list() == [3, 3]
    assert execute(["leaderboard", str(boards[0]), "--out", str(tmp_path / "again.csv")]) == 0
    assert (tmp_path / "again.csv").read_bytes() == expected
    before = (boards[0] / "results.csv").read_bytes()
    assert add(capsys, one.path, "--to", boards[0])[1][-1] == f"{boards[0]}: 0 rows added, 5 known already"
    assert (boards[0] / "results.csv").read_bytes() == before


def test_two_folders_compare_as_the_leaderboard_of_both(
    tmp_path: Path, write: Write, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two, board = write("one", methods=("vanilla", "mine")), write("two"), tmp_path / "board"
    assert add(capsys, one.path, two.path, "--to", board, "--plugin", plugin)[0] == 0
    asked = ["--method", "mine", "--reference", "kd", "--format", "csv"]
    assert execute(["compare", str(board), *asked]) == 0
    expected = capsys.readouterr().out
    assert execute(["compare", str(one.path), str(two.path), *asked]) == 0
    assert capsys.readouterr().out.replace(f"kd@{two.path}", "kd") == expected
    assert expected.count("\n") == 3


def test_each_wrong_row_is_named_and_nothing_is_written(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write("one").tables.results
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    student = rows["role"] == "student"
    rows.loc[student & (rows["method"] == "kd") & (rows["seed"] == "0"), "method_revision"] = "77"
    rows.loc[student & (rows["method"] == "vanilla") & (rows["seed"] == "1"), "cell"] = "a" * 20
    rows.to_csv(tmp_path / "edited.csv", index=False)
    code, lines = add(capsys, tmp_path / "edited.csv", "--to", tmp_path / "board")
    assert code == 2
    assert lines[0] == "error: nothing is added: 2 things are wrong"
    assert "(vanilla conv16 digits few100 seed 1): its key is not that of its parameters, which is " in lines[1]
    assert "(kd conv32:conv16 digits few100 seed 0): method_revision '77' is not that of its key, '" in lines[2]
    assert len(lines) == 3
    assert not (tmp_path / "board").exists()


def test_a_method_that_is_not_installed_comes_with_its_records_or_on_trust(
    tmp_path: Path, write: Write, plugin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, board = write("mine", methods=tuple(SCORES)), tmp_path / "board"
    code, lines = add(capsys, folder.tables.results, "--to", board)
    assert code == 2
    assert len(lines) == 4
    assert all("method 'mine' is not installed, so that its key cannot be made anew" in line for line in lines[1:])
    assert add(capsys, folder.path, "--to", board)[0] == 0
    first = (board / "leaderboard.csv").read_bytes()
    assert first == folder.tables.leaderboard.read_bytes()
    for extra in (["--trust-keys"], ["--plugin", plugin]):
        other = tmp_path / str(extra[0])
        assert add(capsys, folder.tables.results, "--to", other, *extra)[0] == 0
        assert (other / "leaderboard.csv").read_bytes() == first


def test_an_edited_record_is_named(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write("one")
    path = next(folder.path.glob("cells/*/record.json"))
    path.write_text(path.read_text().replace('"top5":99.0', '"top5":99.5'), encoding="utf-8")
    code, lines = add(capsys, folder.path, "--to", tmp_path / "board")
    assert code == 2
    assert any(f"{path}: its values do not match its digest" in line for line in lines)
    assert not (tmp_path / "board").exists()


def test_a_bundle_is_added_as_its_folder_is(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    folder, bundle = write("mine", methods=tuple(SCORES)), tmp_path / "mine.zip"
    assert execute(["bundle", str(folder.path), "--out", str(bundle)]) == 0
    code, lines = add(capsys, bundle, "--to", tmp_path / "board")
    assert (code, lines[-1]) == (0, f"{tmp_path / 'board'}: 10 rows added, 0 known already")
    assert (tmp_path / "board" / "leaderboard.csv").read_bytes() == folder.tables.leaderboard.read_bytes()
    assert add(capsys, folder.path, "--to", tmp_path / "board")[1][-1].endswith("0 rows added, 10 known already")


def with_member(bundle: Path, out: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """The bundle with another text in one member, whose digest in the manifest stays."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(out, "w") as target:
        for each in source.namelist():
            data = source.read(each)
            target.writestr(each, change(data) if each.endswith(name) else data)
    return out


def test_a_damaged_bundle_is_refused_in_one_line(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, board = tmp_path / "one.zip", tmp_path / "board"
    assert execute(["bundle", str(write("one").path), "--out", str(bundle)]) == 0
    capsys.readouterr()
    edited = with_member(bundle, tmp_path / "edited.zip", "results.csv", lambda data: data.replace(b"83.", b"88."))
    cut = tmp_path / "cut.zip"
    cut.write_bytes(bundle.read_bytes()[:-100])
    for path, said in (
        (edited, "is damaged: edited: digits/results.csv: its SHA-256"),
        (cut, "is no bundle, or was cut short"),
    ):
        code, (line,) = add(capsys, path, "--to", board)
        assert code == 2
        assert f"{path} {said}" in line
    assert not board.exists()


def test_a_record_that_was_edited_before_it_was_packed_is_named_as_in_the_bundle(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, bundle = write("one"), tmp_path / "one.zip"
    path = next(folder.path.glob("cells/*/record.json"))
    path.write_text(path.read_text().replace('"top5":99.0', '"top5":99.5'), encoding="utf-8")
    assert execute(["bundle", str(folder.path), "--out", str(bundle)]) == 0
    capsys.readouterr()
    code, lines = add(capsys, bundle, "--to", tmp_path / "board")
    assert code == 2
    place = path.relative_to(folder.path.parent)
    assert any(line.startswith(f"{bundle}: {place}: its values do not match its digest") for line in lines)


def test_two_at_once_lose_no_row(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits, and reads the table that the first has written."""
    one, two, board = write("one", seeds=(0, 2)), write("two", seeds=(1,)), tmp_path / "board"
    said = []
    with ExitStack() as first:
        first.enter_context(ResultsFolder(board).lock())

        def end_the_first(line: str) -> None:
            said.append(line)
            if len(said) == 1:
                board_adding._add(board, [(one.path, read_submission(one.path))], Registry.load())
                first.close()

        monkeypatch.setattr(store, "to_stderr", end_the_first)
        assert execute(["leaderboard", "add", str(two.path), "--to", str(board)]) == 0
    assert said[0] == f"something else is writing {board}; waiting for it to end"
    assert pd.read_csv(board / "leaderboard.csv")["n"].to_list() == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add"], "name a results folder, a bundle of one, or a results.csv"),
        (["add", "nowhere"], "'nowhere' does not exist"),
        (["add", "nowhere.csv"], "cannot read nowhere.csv: No such file or directory"),
        (["add", "one", "--out", "x.csv"], "add writes to --to, not to --out"),
        (["add", "one", "--to", "board.csv"], "--to board.csv: a folder, or the leaderboard.csv in it"),
        (["add", "one", "--to", "one/digits"], "is a run's folder"),
        (
            ["add", "one/digits/leaderboard.csv"],
            "it is a leaderboard; name the results.csv beside it, which has a row for each cell",
        ),
        (["one", "--to", "board"], "are of 'kdharness leaderboard add'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    tmp_path: Path,
    write: Write,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("one", seeds=(0,))
    monkeypatch.chdir(tmp_path)
    assert execute(["leaderboard", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_benchmark_that_does_not_come_along_is_asked_for(
    tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(write("one", seeds=(0,)).tables.results, dtype=str, keep_default_na=False)
    rows.assign(benchmark="theirs").to_csv(tmp_path / "theirs.csv", index=False)
    code, (line,) = add(capsys, tmp_path / "theirs.csv", "--to", tmp_path / "board")
    assert (code, line) == (
        2, "error: benchmark 'theirs' does not come with kdharness; --benchmark FILE.toml says what it is",
    )  # fmt: skip
