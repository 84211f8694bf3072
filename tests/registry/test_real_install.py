"""Third-party packages, built and installed with pip, as a user of the command line meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

BROKEN_PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "broken-plugin"
version = "0.1.0"

[project.entry-points.kdharness]
broken = "raises_at_import"

[tool.setuptools]
py-modules = ["raises_at_import"]
"""


def pip_install(project: Path, target: Path, *options: str) -> None:
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q")
    subprocess.run([sys.executable, "-m", "pip", "install", *flags, *options, "--target", target, project], check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example plugin, and a package that cannot be imported."""
    work = tmp_path_factory.mktemp("install")
    example = shutil.copytree(TESTS / "example_plugin", work / "example")  # pip builds in the source tree
    broken = work / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text(BROKEN_PROJECT)
    shutil.copy(TESTS / "plugins_for_tests" / "raises_at_import.py", broken)
    for project in (example, broken):
        pip_install(project, work / "site")
    return work / "site"


def kdharness(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "kdharness", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_example_is_listed_with_its_origin(site):
    done = kdharness(site, "list", "methods", "--json")
    assert done.returncode == 0
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    row = rows["smoothed_logits"]
    assert (row["package"], row["version"]) == ("kdharness-smoothed-logits", "0.3.0")
    assert row["file"] == str(site / "kdharness_smoothed_logits.py")
    assert row["parameters"] == [
        {"name": "weight", "type": "float", "default": 0.1},
        {"name": "smoothing", "type": "float", "default": 0.05},
    ]
    assert row["reads"]["teachers"] == "one"
    assert row["terms"] == {"ce": "task", "mse": "distill"}
    assert "kd" in rows
    assert "a_package_that_nobody_has" in done.stderr  # the broken one is told beside the listing


def test_the_broken_package_is_listed_as_such(site):
    done = kdharness(site, "list", "plugins", "--json")
    (row,) = [row for row in json.loads(done.stdout) if row["package"] == "broken-plugin"]
    assert row["file"] == str(site / "raises_at_import.py")
    assert row["version"] == "0.1.0"
    assert "No module named 'a_package_that_nobody_has'" in row["errors"][0]
    shown = kdharness(site, "list", "plugins")
    assert shown.returncode == 0
    assert "a_package_that_nobody_has" in shown.stdout


def test_a_file_that_claims_an_installed_name_names_both(site):
    claimant = TESTS / "example_plugin" / "kdharness_smoothed_logits.py"
    done = kdharness(site, "list", "methods", "--plugin", str(claimant), "--json")
    assert "smoothed_logits" not in {row["name"] for row in json.loads(done.stdout)}
    assert str(claimant) in done.stderr
    assert "kdharness-smoothed-logits 0.3.0" in done.stderr
