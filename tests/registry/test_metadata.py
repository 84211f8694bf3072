"""Packages whose metadata is broken: each is named once, and everything else works."""

from __future__ import annotations

import sys

import pytest
from made_packages import Installer, method_source

from kdharness.registry.manager import Registry

GOOD = "[kdharness]\nacme_bad = acme_bad\n"
STATED = "Metadata-Version: 2.1\nName: acme_bad\nVersion: 1.0\n"

# What is wrong: METADATA, entry_points.txt, and what the warning says.
FAULTS: dict[str, tuple[bytes | None, bytes, str]] = {
    "no name": (b"Metadata-Version: 2.1\nVersion: 1.0\n", GOOD.encode(), "its metadata has no Name"),
    "empty name": (b"Name: \nVersion: 1.0\n", GOOD.encode(), "its metadata has no Name"),
    "no version": (b"Metadata-Version: 2.1\nName: acme_bad\n", GOOD.encode(), "its metadata has no Version"),
    "no metadata": (None, GOOD.encode(), "its metadata has no Name"),
    "metadata not utf-8": (STATED.encode() + b"Author: J\xf6rg\n", GOOD.encode(), "its metadata cannot be read"),
    "empty entry point": (
        STATED.encode(),
        b"[kdharness]\nacme_bad =\n",
        "entry point 'acme_bad =' is not of",
    ),
    "nameless entry point": (STATED.encode(), b"[kdharness]\n = acme_bad\n", "its entry point '= acme_bad' is not"),
    "no equals sign": (STATED.encode(), b"[kdharness]\nacme_bad\n", "failed to load"),
    "entry points not utf-8": (STATED.encode(), GOOD.encode() + b"\xff\xfe = x\n", "UnicodeDecodeError"),
    "no module's name": (STATED.encode(), b"[kdharness]\nacme_bad = !!\n", "is not of the form"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_metadata_is_one_warning(install: Installer, fault: str) -> None:
    metadata, entry_points, told = FAULTS[fault]
    install("acme_good", method_source("good_one"))
    install("acme_bad", method_source("bad_one"))
    folder = install.folder / "acme_bad-1.0.dist-info"
    (folder / "METADATA").unlink()
    if metadata is not None:
        (folder / "METADATA").write_bytes(metadata)
    (folder / "entry_points.txt").write_bytes(entry_points)
    registry = Registry.load()
    assert {"kd", "good_one"} <= set(registry.methods)
    (warning,) = registry.warnings
    assert "plugin 'acme_bad' of acme_bad" in warning
    assert told in warning
    assert "\n" not in warning
    assert "acme_bad" in {plugin.name for plugin in registry.plugins if plugin.errors}


def test_broken_metadata_of_a_package_without_plugins_is_not_ours(install: Installer) -> None:
    install("acme_other", "")
    folder = install.folder / "acme_other-1.0.dist-info"
    (folder / "METADATA").write_bytes(b"\xff")
    (folder / "entry_points.txt").write_bytes(b"[console_scripts]\nacme\n\xff")
    assert Registry.load().warnings == ()


@pytest.mark.parametrize("file", ["RECORD", "direct_url.json"])
def test_other_files_that_cannot_be_read_change_nothing(install: Installer, file: str) -> None:
    install("acme_good", method_source("good_one", revision=1))
    (install.folder / "acme_good-1.0.dist-info" / file).write_bytes(b"\xff\xfe")
    registry = Registry.load()
    assert (registry.warnings, registry.methods["good_one"].source.editable) == ((), False)


def test_of_two_installations_the_first_on_the_path_counts(
    install: Installer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = tmp_path_factory.mktemp("later")
    Installer(later)("acme_good", method_source("hidden"), version="2.0")
    install("acme_good", method_source("good_one"))
    monkeypatch.setattr("sys.path", [*sys.path, str(later)])
    registry = Registry.load()
    assert registry.methods["good_one"].source.version == "1.0"
    assert "hidden" not in registry.methods
    assert registry.warnings == ()
