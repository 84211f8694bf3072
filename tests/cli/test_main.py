"""Exit codes, and what mistakes look like."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kdharness import __version__
from kdharness.cli import list as list_module
from kdharness.cli.main import execute
from kdharness.errors import UserError


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help(capsys, arguments):
    assert execute(arguments) == 0
    out = capsys.readouterr().out
    for verb in ("run", "list", "status", "report", "leaderboard"):
        assert f"\n  {verb} " in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_version(capsys):
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out == f"kdharness {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["list", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys; from kdharness.cli.main import execute;"
        f"assert execute({arguments!r}) == 0;"
        "heavy = {'torch', 'pandas', 'numpy', 'pluggy'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lits"], "unknown command 'lits'; did you mean 'list' or 'results'?"),
        (["--verson"], "unknown option '--verson' (kdharness); did you mean '--version'?"),
        (["list", "--jsonn"], "unknown option '--jsonn' (kdharness list); did you mean '--json'?"),
        (["report", "--format", "htm"], "unknown format 'htm' (--format); did you mean 'html'?"),
        (["compare", "--format", "cvs"], "unknown format 'cvs' (--format); did you mean 'csv'?"),
        (["verify", "--device", "gpu"], "--device gpu: not one of auto, cpu, cuda, cuda:0,1"),
        (["verify", "--plugin", "nowhere.py"], "--plugin nowhere.py: no such file or directory"),
        (["list", "--plugin"], "option '--plugin' requires an argument; see 'kdharness --help'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, arguments, message):
    assert execute(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["run", "--epochs", "many"], "error: kdharness run: invalid value for '--epochs'"),
        (["run", "--workers", "0"], "error: kdharness run: invalid value for '--workers'"),
        (["list", "methods", "models"], "error: kdharness list: got unexpected extra argument"),
    ],
)
def test_a_mistake_that_the_parser_words(capsys, arguments, start):
    assert execute(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(start)
    assert err.endswith(f"; see 'kdharness {arguments[0]} --help'\n")
    assert err.count("\n") == 1
    assert arguments[-1] in err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("one line\nand a second"), 2, "error: one line\nand a second\n"),
        (KeyboardInterrupt(), 130, ""),
        (RuntimeError("a fault"), 3, "RuntimeError: a fault\nerror: this is a bug in kdharness"),
    ],
)
def test_what_a_verb_raises(capsys, monkeypatch, raised, code, said):
    def rows_of(*_):
        raise raised

    import kdharness.cli.inventory

    monkeypatch.setattr(kdharness.cli.inventory, "rows_of", rows_of)
    assert execute(["list", "metrics"]) == code
    err = capsys.readouterr().err
    assert said in err
    assert ("Traceback" in err) == (code == 3)


def test_a_verb_s_own_exit_code(monkeypatch):
    import typer

    def show(*_):
        raise typer.Exit(1)

    monkeypatch.setattr(list_module, "_show", show)
    assert execute(["list", "metrics"]) == 1


def test_a_reader_that_goes_away_is_nobody_s_error():
    code = "import sys; from kdharness.cli.main import main; main()"
    command = [sys.executable, "-c", code, "list", "plugins", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert said == b""


def test_python_m_kdharness_passes_the_exit_code_on():
    done = subprocess.run([sys.executable, "-m", "kdharness", "lits"], capture_output=True, check=False)
    assert done.returncode == 2
