"""A plugin may state the version of the API that it was written for; a newer one is refused in one line."""

from __future__ import annotations

import json

import pytest
from made_packages import method_source

from kdharness.api import API_VERSION
from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.registry.manager import Registry

NEWER = f"it is written for version {API_VERSION + 1} of kdharness.api, this is {API_VERSION}: upgrade kdharness"
# What a newer API has and this one has not stands above the statement, as imports do.
IMPORTS_NEWER = "from kdharness.api import SomethingNew\n"


def stating(version: object, name: str, head: str = "") -> str:
    return f"{head}KDHARNESS_API = {version!r}\n{method_source(name)}"


@pytest.mark.parametrize("version", range(1, API_VERSION + 1))
def test_a_version_that_there_is_is_taken(install, write, version):
    install("acme_stated", stating(version, "acme_stated"))
    registry = Registry.load([write("p.py", stating(version, "in_file"))])
    assert {"acme_stated", "in_file"} <= set(registry.methods)
    assert not registry.warnings


@pytest.mark.parametrize("head", ["", IMPORTS_NEWER])
def test_a_newer_one_is_refused_and_the_rest_goes_on(install, head):
    install("acme_newer", stating(API_VERSION + 1, "acme_newer", head), version="3.0")
    install("acme_sound", method_source("acme_sound"))
    registry = Registry.load()
    assert "acme_newer" not in registry.methods
    assert {"acme_sound", "kd"} <= set(registry.methods)
    (line,) = registry.warnings
    assert line.startswith("plugin 'acme_newer' of acme_newer 3.0 (")
    assert line.endswith(f": NewerApi: {NEWER}")
    with pytest.raises(UserError, match=r"unknown method 'acme_newer'.*\n.*NewerApi"):
        registry.get("method", "acme_newer")


def test_it_is_listed_with_its_reason(install, capsys):
    install("acme_newer", stating(API_VERSION + 1, "acme_newer"))
    assert execute(["list", "plugins", "--json"]) == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["name"] == "acme_newer"]
    assert NEWER in row["errors"][0]


@pytest.mark.parametrize("head", ["", IMPORTS_NEWER])
def test_a_single_file_that_is_newer_is_an_error_of_the_command(write, head):
    path = write("p.py", stating(API_VERSION + 1, "in_file", head))
    with pytest.raises(UserError, match=NEWER) as caught:
        Registry.load([path])
    assert str(caught.value).startswith(f"--plugin {path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", ["", IMPORTS_NEWER])
def test_a_newer_module_takes_nothing_from_its_package(install, head):
    install("crowd", "", entry_points=("crowd = newer_crowd",))
    package = install.folder / "newer_crowd"
    package.mkdir()
    hook = "from kdharness.api import hookimpl, module_specs\n@hookimpl\ndef kdharness_methods():\n"
    (package / "__init__.py").write_text(f"{hook}    return module_specs(__name__, 'kdharness_methods')\n")
    (package / "newer.py").write_text(stating(API_VERSION + 1, "newer", head))
    (package / "sound.py").write_text(stating(API_VERSION, "sound"))
    registry = Registry.load()
    assert "sound" in registry.methods
    assert "newer" not in registry.methods
    assert [broken.error for broken in registry.broken] == [f"newer.py: NewerApi: {NEWER}"]


def test_a_class_may_state_it_or_its_module(install):
    body = "class Own:\n    KDHARNESS_API = 99\nclass Other:\n    pass\n"
    install("acme_class", body, entry_points=("own = acme_class:Own",))
    install("acme_module", f"KDHARNESS_API = 99\n{body}", entry_points=("other = acme_module:Other",))
    assert [b.name for b in Registry.load().broken if "version 99" in b.error] == ["own", "other"]


@pytest.mark.parametrize("version", ["2", 0, True, None, 1.5])
def test_what_is_no_version_is_told(install, version):
    install("acme_odd", stating(version, "acme_odd"))
    (line,) = Registry.load().warnings
    assert line.endswith(f"KDHARNESS_API = {version!r} is no version of kdharness.api; this is {API_VERSION}")


def test_what_fails_for_another_reason_keeps_it(install):
    install("acme_fails", stating(API_VERSION, "acme_fails", IMPORTS_NEWER))
    install("acme_syntax", "KDHARNESS_API = 99\ndef f(:\n")
    errors = {broken.name: broken.error for broken in Registry.load().broken}
    assert errors["acme_fails"].startswith("ImportError: cannot import name 'SomethingNew'")
    assert errors["acme_syntax"].startswith("SyntaxError")
