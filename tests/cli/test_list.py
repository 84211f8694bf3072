"""`kdharness list` for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdharness import __version__
from kdharness.cli.main import execute

PLUGINS = Path(__file__).parents[1] / "plugins_for_tests"
BUILT_IN = (
    "benchmarks", "methods", "models", "datasets", "views", "metrics", "optimizers", "executors", "loggers", "plugins",
)  # fmt: skip
KINDS = (*BUILT_IN[:-3], "columns", *BUILT_IN[-3:])  # columns of leaderboards are others' alone


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict]:
    assert execute(["list", *arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_row_says_where_it_came_from(capsys, kind):
    found = rows(capsys, kind)
    assert found
    for row in found:
        assert row["name"]
        assert row["package"] == "kdharness"
        assert row["version"] == __version__
        assert Path(row["file"]).is_file()


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_listing_fits_80_columns_and_shows_each_name(capsys, monkeypatch, kind):
    names = [row["name"] for row in rows(capsys, kind)]
    monkeypatch.setenv("COLUMNS", "80")
    assert execute(["list", kind]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "\x1b" not in out
    assert not any(line.endswith(" ") for line in out.splitlines())
    first_words = [line.split()[0] for line in out.splitlines() if line[:1].strip()]
    assert first_words == names


def test_a_method_row_says_what_it_needs(capsys):
    (row,) = [row for row in rows(capsys, "methods") if row["name"] == "kd"]
    assert "Hinton" in row["paper"]
    recipe = {"name": "recipe", "student": True, "teacher": True}
    beside = {"indices": False, "views": [recipe], "partners": "none", "teacher_taps": None}
    assert row["reads"] == {"teachers": "one", "taps": [], "modules": [], "teacher_modules": [], **beside}
    assert {"name": "temperature", "type": "float", "default": 4.0} in row["parameters"]
    assert set(row["terms"].values()) <= {"task", "distill", "player"}
    assert row["regime"] == ""
    assert row["revision"] == 1


def test_what_a_method_that_cannot_be_made_declares_by_property_is_not_known(capsys, tmp_path):
    path = tmp_path / "unmade.py"
    path.write_text(
        "from kdharness.api import Method, MethodSpec, hookimpl\n"
        "class Unmade(Method):\n"
        "    name = 'unmade'\n"
        "    private_teacher = True\n"
        "    def __init__(self, **parameters):\n"
        "        raise OSError('no licence')\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Unmade)]\n"
    )
    (row,) = [row for row in rows(capsys, "methods", "--plugin", str(path)) if row["name"] == "unmade"]
    assert (row["private_teacher"], row["terms"], row["reads"]) == (True, None, None)


def test_an_unproved_method_is_listed_with_what_is_missing(capsys, tmp_path):
    path = tmp_path / "unproved.py"
    path.write_text(
        "from kdharness.api import Method, MethodSpec, hookimpl\n"
        "class Bold(Method):\n"
        "    name = 'bold'\n"
        "    unproved = 'no run beside the code of its authors'\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Bold)]\n"
    )
    found = {row["name"]: row["unproved"] for row in rows(capsys, "methods", "--plugin", str(path))}
    assert (found["bold"], found["kd"]) == ("no run beside the code of its authors", "")
    assert execute(["list", "methods", "--plugin", str(path)]) == 0
    assert "unproved: no run beside the code of its authors" in capsys.readouterr().out


def test_a_model_row_names_its_stages(capsys):
    (row,) = [row for row in rows(capsys, "models") if row["name"] == "resnet20"]
    assert len(row["stages"]) == 3
    assert row["classifier"]


def test_without_a_kind_all_kinds_are_counted(capsys):
    found = {row["kind"]: row for row in rows(capsys)}
    assert tuple(found) == KINDS
    assert "kd" in found["methods"]["names"]
    assert found["methods"]["count"] == len(found["methods"]["names"])
    assert execute(["list"]) == 0
    assert "digits" in capsys.readouterr().out


def test_taps_of_one_side(capsys, tmp_path):
    path = tmp_path / "sides.py"
    path.write_text(
        "from kdharness.api import Method, MethodSpec, Reads, hookimpl\n"
        "class Sides(Method):\n"
        "    name = 'sides'\n"
        "    reads = Reads(taps=('tokens',), teacher_taps=('pre_activations',))\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Sides)]\n"
    )
    assert execute(["list", "methods", "--plugin", str(path)]) == 0
    assert "tokens of the student, pre-activations of the teacher" in " ".join(capsys.readouterr().out.split())


def test_a_method_whose_reads_depend_on_parameters(capsys, tmp_path):
    path = tmp_path / "depends.py"
    path.write_text(
        "from kdharness.api import Method, MethodSpec, Reads, hookimpl\n"
        "class Depends(Method):\n"
        "    name = 'depends'\n"
        "    count: int = 2\n"
        "    @property\n"
        "    def reads(self):\n"
        "        return Reads(teachers='none', views=('recipe',) * self.count)\n"
        "    @property\n"
        "    def terms(self):\n"
        "        raise RuntimeError('not yet')\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Depends)]\n"
    )
    (row,) = [row for row in rows(capsys, "methods", "--plugin", str(path)) if row["name"] == "depends"]
    assert row["reads"]["views"] == [{"name": "recipe", "student": True, "teacher": True}] * 2
    assert row["terms"] is None
    assert (row["package"], row["file"]) == ("", str(path))
    assert execute(["list", "methods", "--plugin", str(path)]) == 0
    assert "reads 2 views" in capsys.readouterr().out


def test_markup_in_a_plugin_s_text_is_text(capsys, tmp_path):
    path = tmp_path / "markup.py"
    path.write_text(
        "from kdharness.api import MetricSpec, hookimpl\n"
        "@hookimpl\n"
        "def kdharness_metrics():\n"
        "    return [MetricSpec('odd', len, summary='[bold]x[/nothing]')]\n"
    )
    assert execute(["list", "metrics", "--plugin", str(path)]) == 0
    assert "[bold]x[/nothing]" in capsys.readouterr().out


def test_what_is_wrong_stands_under_the_listing(capsys):
    broken, clash = PLUGINS / "hook_raises.py", PLUGINS / "claims_taken_name.py"
    arguments = ["list", "methods", "--plugin", str(broken), "--plugin", str(clash)]
    assert execute(arguments) == 0
    out = capsys.readouterr().out
    assert "the hook's own fault" in out
    assert "method 'kd' is claimed twice" in out
    assert execute([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert "the hook's own fault" in captured.err
    assert "claimed twice" in captured.err


def test_an_unknown_kind(capsys):
    assert execute(["list", "metods"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: unknown kind 'metods' (kdharness list); did you mean 'methods'")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["plugins", "benchmarks"])
def test_these_listings_load_no_torch(kind):
    code = (
        "import sys; from kdharness.cli.main import execute;"
        f"assert execute(['list', {kind!r}]) == 0; assert not {{'torch', 'pandas'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_metrics_on_request_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {row["name"] for row in rows(capsys, "metrics") if row["on_request"]}
    assert asked == {"class_separation", "gradient_norm", "weight_noise"}
    assert execute(["list", "metrics"]) == 0
    assert capsys.readouterr().out.count("on request: not part of 'all'") == 3
