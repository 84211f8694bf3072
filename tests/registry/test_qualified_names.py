"""`package/name` is that package's one, also where two claim the name."""

from __future__ import annotations

import pytest
from made_packages import method_source

from kdharness.errors import UserError
from kdharness.registry.kinds import KINDS
from kdharness.registry.manager import Registry


def test_every_thing_has_its_package_before_its_name():
    registry = Registry.load()
    for kind in KINDS:
        assert dict(registry.aliases(kind)) == {f"kdharness/{name}": name for name in registry.of(kind)}
        assert registry.known(kind) == registry.of(kind)
        for name, found in registry.of(kind).items():
            assert registry.get(kind, f"kdharness/{name}") is found


def test_a_name_that_two_claim_is_had_by_package(install, write):
    install("acme_kd", method_source("kd"), version="3.1")
    registry = Registry.load([write("my.plugin.py", method_source("kd"))])
    assert "kd" not in registry.of("method")
    assert [name for name in registry.known("method") if "/" in name] == ["acme-kd/kd", "kdharness/kd", "my-plugin/kd"]
    for name, distribution in (("acme-kd/kd", "acme_kd"), ("Acme.KD/kd", "acme_kd"), ("kdharness/kd", "kdharness")):
        assert registry.get("method", name).source.distribution == distribution
    assert registry.get("method", "my-plugin/kd").source.kind == "file"
    assert registry.name_of("method", "ACME_kd/kd") == "acme-kd/kd"
    assert registry.name_of("method", "kdharness/at") == "at"
    with pytest.raises(UserError, match=r"twice, .*; say acme-kd/kd or kdharness/kd or my-plugin/kd, rename one"):
        registry.get("method", "kd")


def test_an_unknown_package_or_name_is_told():
    registry = Registry.load()
    with pytest.raises(UserError, match=r"unknown method 'kdharnes/kd' \(--methods\); did you mean 'kdharness/kd'"):
        registry.get("method", "kdharnes/kd", "--methods")
    with pytest.raises(UserError, match="unknown method 'kdharness/conv8'"):
        registry.get("method", "kdharness/conv8")
    assert registry.name_of("method", "nobody/kd") == "nobody/kd"


def test_a_name_that_one_package_claims_twice_is_nobodys(install):
    body = method_source("acme_twice").replace(
        "[MethodSpec.of(AcmeTwice", "[MethodSpec.of(Again), MethodSpec.of(AcmeTwice"
    )
    install("acme_twice", body.replace("@hookimpl", "class Again(AcmeTwice): ...\n\n@hookimpl"))
    registry = Registry.load()
    with pytest.raises(UserError, match=r"is claimed twice, .*; rename one"):
        registry.get("method", "acme_twice")
    with pytest.raises(UserError, match="unknown method 'acme-twice/acme_twice'"):
        registry.get("method", "acme-twice/acme_twice")
