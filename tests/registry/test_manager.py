"""Plugins load one by one; what one does wrong is told, and the others go on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from made_packages import method_source

from kdharness.errors import UserError
from kdharness.registry import hookspecs
from kdharness.registry.manager import Registry


def broken_lines(registry: Registry) -> str:
    return "\n".join(str(broken) for broken in registry.broken)


def test_built_ins_come_through_the_hooks():
    registry = Registry.load()
    assert {"vanilla", "kd"} <= set(registry.methods)
    source = registry.methods["kd"].source
    assert (source.distribution, source.entry_point) == ("kdharness", "methods")
    assert source.file.endswith("methods/kd.py")  # the file of the method, not of the hook
    assert list(registry.methods) == sorted(registry.methods)
    assert not registry.warnings


def test_loading_and_asking_for_plugins_loads_no_torch():
    code = (
        "import sys; from kdharness.registry.manager import Registry; r = Registry.load(); assert r.plugins;"
        "assert 'torch' not in sys.modules; r.methods; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_installed_method_is_found_with_its_origin(install):
    module = install("acme_found", method_source("acme_found"), version="2.5")
    registered = Registry.load().get("method", "acme_found")
    assert registered.spec.name == "acme_found"
    source = registered.source
    assert (source.distribution, source.version, source.file) == ("acme_found", "2.5", str(module))
    assert (source.kind, source.editable) == ("entry_point", False)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nobody_has_this", "ModuleNotFoundError: No module named 'nobody_has_this'"),
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("def f(:", "SyntaxError: "),
        ("class Odd(BaseException): pass\nraise Odd('odd')", "Odd: odd"),
    ],
)
def test_a_package_that_fails_to_import_leaves_the_others(install, source, error):
    module = install("acme_a_broken", source)
    install("acme_b_sound", method_source("acme_b_sound"))
    registry = Registry.load()
    assert "acme_b_sound" in registry.methods
    (broken,) = registry.broken
    assert error in broken.error
    assert "Traceback" in broken.traceback
    info = next(p for p in registry.plugins if p.name == "acme_a_broken")
    assert (info.source.version, info.source.file) == ("1.0", str(module))
    assert error in info.errors[0]
    with pytest.raises(UserError, match=r"unknown method 'nowhere'[^\n]*\n[^\n]*acme_a_broken[^\n]*$"):
        registry.get("method", "nowhere")


def test_an_interrupt_is_not_a_broken_plugin(install):
    install("acme_interrupt", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry.load()


def test_an_entry_point_without_its_module(install):
    install("acme_gone", "", entry_points=("gone = acme_gone_elsewhere",))
    registry = Registry.load()
    assert "acme_gone_elsewhere" in registry.broken[0].error
    assert "kd" in registry.methods


JUNK = {
    "None": "must return a list of MethodSpec, got None",
    "7": "must return a list of MethodSpec, got a int",
    "'kd'": "must return a list of MethodSpec, got a str",
    "[1]": "item 0 is a int",
    "[MethodSpec]": "item 0 is a type",
    "MethodSpec('lone', Method, '', '', ())": "not a single one",
    "[MethodSpec('Bad-Name', Method, '', '', ())]": "'Bad-Name' is not of the form",
    "[MethodSpec('x', None, '', '', ())]": "factory must be callable, got None",
    "[MethodSpec('x', Method, None, '', ())]": "summary must be a text, got None",
    "[MethodSpec('x', Method, '', '', (1,))]": "parameters must be a tuple of Parameter",
    "[MethodSpec('x', Method, '', '', (Parameter('a', int, 1), Parameter('a', int, 2)))]": "two parameters 'a'",
    "[MethodSpec('x', Method, '', '', (), '1')]": "revision must be an integer or None",
}


@pytest.mark.parametrize(("returned", "error"), JUNK.items())
def test_a_hook_that_returns_junk(install, returned, error):
    head = "from kdharness.api import Method, MethodSpec, Parameter, hookimpl\n@hookimpl\n"
    install("acme_junk", f"{head}def kdharness_methods():\n    return {returned}\n")
    registry = Registry.load()
    assert "kd" in registry.methods
    (broken,) = registry.broken
    assert (broken.name, broken.hook) == ("acme_junk", "kdharness_methods")
    assert error in broken.error


def test_a_module_that_fails_takes_nothing_from_its_package(install):
    install("crowd", "", entry_points=("crowd = crowd_methods",))
    package = install.folder / "crowd_methods"
    package.mkdir()
    hook = "from kdharness.api import hookimpl, module_specs\n@hookimpl\ndef kdharness_methods():\n"
    (package / "__init__.py").write_text(f"{hook}    return module_specs(__name__, 'kdharness_methods')\n")
    (package / "a_good_one.py").write_text(method_source("good_one"))
    (package / "broken.py").write_text("def half(:\n")
    (package / "leaves.py").write_text("raise SystemExit(4)\n")
    (package / "raises.py").write_text("def kdharness_methods():\n    yield None\n    raise OSError('no more')\n")
    (package / "z_good_one.py").write_text(method_source("last_one"))
    registry = Registry.load()
    assert {"good_one", "last_one", "kd"} <= set(registry.methods)
    assert [broken.error for broken in registry.broken] == [
        "broken.py: SyntaxError: invalid syntax (broken.py, line 1)",
        "leaves.py: SystemExit: 4",
        "raises.py: OSError: no more",
    ]
    assert "SyntaxError" in registry.broken[0].traceback
    with pytest.raises(UserError, match=r"unknown method 'broken'.*\n.*broken\.py: SyntaxError"):
        registry.get("method", "broken")


def test_what_a_hook_gave_before_it_raised_counts(install):
    returned = "return [MethodSpec.of(Early, revision=None)]"
    source = method_source("early").replace(returned, "yield MethodSpec.of(Early)")
    install("stumbles", f"{source}    raise OSError('later')\n")
    registry = Registry.load()
    assert "early" in registry.methods
    assert [broken.error for broken in registry.broken] == ["OSError: later"]


def test_a_hook_that_raises_breaks_itself_alone(install):
    source = (
        "from kdharness.api import MetricSpec, hookimpl\n"
        "@hookimpl\ndef kdharness_methods():\n    yield from ()\n    1 / 0\n"
        "@hookimpl\ndef kdharness_metrics():\n    return [MetricSpec('acme_metric', lambda e: {})]\n"
    )
    install("acme_half", source)
    registry = Registry.load()
    assert "acme_metric" in registry.metrics
    assert "kd" in registry.methods
    assert "ZeroDivisionError" in broken_lines(registry)
    with pytest.raises(UserError, match="ZeroDivisionError"):
        registry.get("method", "nowhere")
    with pytest.raises(UserError) as about_metrics:
        registry.get("metric", "nowhere")
    assert "acme_half" not in str(about_metrics.value)  # that hook of it is sound


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "from kdharness.api import hookimpl\n@hookimpl\ndef kdharness_metods(): return []",
            "did you mean 'kdharness_methods'?",
        ),
        ("def kdharness_modls(): return []", "did you mean 'kdharness_models'?"),
        ("def kdharness_methods(): return []", "kdharness_methods is without @hookimpl, and is not called"),
        ("x = 1", "implements no hook"),
    ],
)
def test_what_looks_like_a_hook_and_is_none_is_told(install, source, line):
    install("acme_odd", source)
    warnings = [w for w in Registry.load().warnings if "acme_odd" in w]
    assert len(warnings) == 1
    assert line in warnings[0]


def test_a_hook_with_a_wrong_argument(install):
    install("acme_arg", "from kdharness.api import hookimpl\n@hookimpl\ndef kdharness_methods(config): return []")
    registry = Registry.load()
    assert "config" in broken_lines(registry)
    assert "kd" in registry.methods


def test_who_implements_a_hook_that_will_go_is_told(install, monkeypatch):
    going = DeprecationWarning("kdharness_metrics goes with version 2 of the API")
    monkeypatch.setitem(hookspecs.kdharness_metrics.kdharness_spec, "warn_on_impl", going)
    install("acme_old", "from kdharness.api import hookimpl\n@hookimpl\ndef kdharness_metrics(): return []")
    (line,) = [w for w in Registry.load().warnings if "acme_old" in w]
    assert line.endswith(": kdharness_metrics goes with version 2 of the API")


def test_a_plugin_that_uses_several_things_that_will_go_is_told_in_one_line(install, monkeypatch):
    told = {"cell": DeprecationWarning("cell goes"), "epoch": DeprecationWarning("epoch goes")}
    monkeypatch.setitem(hookspecs.kdharness_epoch_finished.kdharness_spec, "warn_on_impl_args", told)
    head = "from kdharness.api import hookimpl\n@hookimpl\n"
    install("acme_args", f"{head}def kdharness_epoch_finished(cell, epoch): ...")
    install("acme_fewer", f"{head}def kdharness_epoch_finished(values): ...")
    registry = Registry.load()
    (line,) = [w for w in registry.warnings if "acme_" in w]
    assert "plugin 'acme_args' of acme_args 1.0" in line
    assert line.endswith(": cell goes; epoch goes")
    assert registry.listens("epoch_finished")


def test_a_hook_wrapper_is_refused(install):
    source = "from kdharness.api import hookimpl\n@hookimpl(wrapper=True)\ndef kdharness_methods():\n    return (yield)"
    install("acme_wrap", source)
    registry = Registry.load()
    assert "is a hook wrapper" in broken_lines(registry)
    assert "kd" in registry.methods


def test_a_class_and_an_instance_are_plugins_too(install):
    body = (
        "from kdharness.api import ExecutorSpec, hookimpl\n"
        "class Plugin:\n"
        "    name = 'as_class'\n"
        "    @hookimpl\n"
        "    def kdharness_executors(self):\n"
        "        return [ExecutorSpec(self.name, print)]\n"
        "instance = Plugin()\n"
        "instance.name = 'as_instance'\n"
    )
    install("acme_objects", body, entry_points=("a = acme_objects:Plugin", "b = acme_objects:instance"))
    registry = Registry.load()
    assert {"as_class", "as_instance"} <= set(registry.executors)
    assert registry.executors["as_class"].source.file.endswith("acme_objects.py")  # print is nobody's file


def test_two_entry_points_of_one_module(install):
    install("acme_twice", method_source("acme_twice"), entry_points=("one = acme_twice", "two = acme_twice"))
    registry = Registry.load()
    assert "acme_twice" in registry.methods
    assert not registry.warnings
    assert [p.hooks for p in registry.plugins if p.source.distribution == "acme_twice"] == [("kdharness_methods",)] * 2


def test_one_thing_through_two_hooks_of_a_package_is_no_clash(install):
    again = "\nclass Again:\n    @hookimpl\n    def kdharness_methods(self):\n        return kdharness_methods()\n"
    install("acme_base", method_source("acme_base") + again, entry_points=("a = acme_base", "b = acme_base:Again"))
    registry = Registry.load()
    assert "acme_base" in registry.methods
    assert not registry.clashes


def test_a_name_claimed_twice_is_nobodys_and_names_both(install):
    first = install("acme_one", method_source("acme_shared") + "\n")
    second = install("acme_two", method_source("acme_shared"), version="3.1")
    registry = Registry.load()
    assert "acme_shared" not in registry.methods
    assert "kd" in registry.methods
    with pytest.raises(UserError) as caught:
        registry.get("method", "acme_shared", "--methods")
    for text in ("acme_one 1.0", str(first), "acme_two 3.1", str(second), "--methods"):
        assert text in str(caught.value)
    assert [s.distribution for s in registry.clashes["method", "acme_shared"]] == ["acme_one", "acme_two"]
    assert any("acme_shared" in warning for warning in registry.warnings)


def test_built_ins_do_not_win_a_clash(install):
    install("acme_kd", method_source("kd"))
    registry = Registry.load()
    with pytest.raises(UserError, match=r"acme_kd 1\.0 .*kdharness "):
        registry.get("method", "kd")
    assert "vanilla" in registry.methods


def test_an_unknown_name_says_where_and_what_is_near():
    with pytest.raises(UserError, match=r"^unknown method 'vanila' \(--methods\); did you mean 'vanilla'\?$"):
        Registry.load().get("method", "vanila", "--methods")


def test_what_plugins_print_does_not_reach_stdout(install, capsys):
    source = "print('at import')\n" + method_source("acme_loud").replace(
        "    return", "    print('in hook')\n    return"
    )
    install("acme_loud", source)
    assert "acme_loud" in Registry.load().methods
    out, err = capsys.readouterr()
    assert out == ""
    assert "at import" in err
    assert "in hook" in err
