"""What of a plugin enters a cell's key."""

from __future__ import annotations

from dataclasses import replace

from made_packages import method_source

from kdharness.registry.code import PackageCode
from kdharness.registry.manager import Registry


def stamp_of(name, files=()):
    registry = Registry.load(files)
    return registry.stamp(registry.get("method", name))


def test_a_built_in_that_equals_the_lock_is_its_revision():
    assert stamp_of("kd") == {"package": "kdharness", "revision": 1}


def test_an_edited_built_in_has_its_digest_beside_its_revision(monkeypatch):
    real = PackageCode.digest
    monkeypatch.setattr(PackageCode, "digest", lambda self, path: "ab" if path.stem == "kd" else real(self, path))
    assert stamp_of("kd") == {"package": "kdharness", "revision": 1, "digest": "ab"}
    assert stamp_of("at") == {"package": "kdharness", "revision": 1}
    registry = Registry.load()
    kd = registry.get("method", "kd")
    raised = replace(kd, spec=replace(kd.spec, revision=2))
    assert registry.stamp(raised) == {"package": "kdharness", "revision": 2, "digest": "ab"}


def test_a_package_is_its_revision_or_its_version(install):
    install("acme_rev", method_source("acme_rev", revision=4), version="2.0")
    install("acme_ver", method_source("acme_ver"), version="2.0")
    assert stamp_of("acme_rev") == {"package": "acme_rev", "revision": 4}
    assert stamp_of("acme_ver") == {"package": "acme_ver", "version": "2.0"}


def test_an_editable_package_is_a_digest_whatever_it_declares(install):
    module = install("acme_edit", method_source("acme_edit", revision=4), editable=True)
    assert Registry.load().methods["acme_edit"].source.editable
    before = stamp_of("acme_edit")
    assert set(before) == {"digest"}
    assert len(str(before["digest"])) == 16
    assert stamp_of("acme_edit") == before
    module.write_text(module.read_text() + "# an edit\n")
    assert stamp_of("acme_edit") != before


def test_a_source_tree_that_was_never_installed_counts_as_editable(install):
    install("acme_tree", method_source("acme_tree"), record=False)
    assert set(stamp_of("acme_tree")) == {"digest"}


def test_the_digest_covers_the_whole_package_and_nothing_beside_it(install):
    install("acme_pack_meta", "", entry_points=("p = acme_pack.plugins.method",), editable=True)
    package = install.folder / "acme_pack"
    (package / "plugins").mkdir(parents=True)
    for file in ("__init__.py", "plugins/__init__.py", "helper.py", "kernel.cu"):
        (package / file).write_text("")
    (package / "plugins" / "method.py").write_text(method_source("acme_pack"))
    before = stamp_of("acme_pack")
    assert Registry.load().methods["acme_pack"].source.file == str(package / "plugins" / "method.py")
    (package / "notes.txt").write_text("notes")
    (install.folder / "beside.py").write_text("x = 1")
    assert stamp_of("acme_pack") == before
    seen = [before]
    for edit in ("helper.py", "kernel.cu"):
        (package / edit).write_text("# edited")
        seen.append(stamp_of("acme_pack"))
    (package / "helper.py").rename(package / "renamed.py")
    seen.append(stamp_of("acme_pack"))
    assert len({str(s) for s in seen}) == 4


def test_a_namespace_package_is_not_digested_as_a_whole(install):
    install("acme_space_meta", "", entry_points=("p = acme_space.mine",), editable=True)
    for part, content in (("mine", method_source("acme_space")), ("theirs", "")):
        (install.folder / "acme_space" / part).mkdir(parents=True)
        (install.folder / "acme_space" / part / "__init__.py").write_text(content)
    before = stamp_of("acme_space")
    (install.folder / "acme_space" / "theirs" / "__init__.py").write_text("edited = 1")
    assert stamp_of("acme_space") == before
    (install.folder / "acme_space" / "mine" / "extra.py").write_text("edited = 1")
    assert stamp_of("acme_space") != before


def test_a_single_file_is_the_digest_of_what_was_loaded(write):
    path = write("p.py", method_source("in_file", revision=4))
    registry = Registry.load([path])
    before = registry.stamp(registry.get("method", "in_file"))
    assert set(before) == {"digest"}
    path.write_text(path.read_text() + "# an edit\n")
    assert registry.stamp(registry.get("method", "in_file")) == before  # the edit is not what runs
    assert stamp_of("in_file", [path]) != before


def test_a_file_is_the_same_wherever_it_lies(write, tmp_path):
    path = write("p.py", method_source("in_file"))
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert stamp_of("in_file", [path]) == stamp_of("in_file", [path.rename(other / "q.py")])
