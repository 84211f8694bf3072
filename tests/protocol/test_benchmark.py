"""Benchmark files: how they are read, and how mistakes in them are told."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.requirements import Pair
from kdharness.errors import UserError
from kdharness.protocol.benchmark import available, load, parse
from kdharness.protocol.variant import Layer

VALID = """
datasets = ["digits"]
pairs = ["conv8:conv4"]
[recipe]
epochs = 2
"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('datasets = ["digits"\npairs = 3', "not valid TOML: Unclosed array (at line 2, column 1)"),
        (VALID + "lr = = 3", "not valid TOML: Invalid value (at line 6, column 6)"),
        ("dataset = 3" + VALID, "dataset = 3: input should be a valid dictionary"),
        ("seed = 3" + VALID, "unknown key 'seed'; did you mean 'seeds'?"),
        (VALID + "learning_rate = 3", "unknown key 'recipe.learning_rate'"),
        (VALID + "epoch = 3", "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        (VALID + "[teacher]\nepoch = 3", "unknown key 'teacher.epoch'; did you mean 'epochs'?"),
        (VALID + "[evaluation]\nevry = 3", "unknown key 'evaluation.evry'; did you mean 'every'?"),
        (
            VALID + '[scenario.mine]\nkind = "noise"\nratoi = 0.3',
            "the key 'scenario.mine.ratio' is missing",
        ),
        (
            VALID + '[scenario.mine]\nkind = "noise"\nratio = 0.3\nsede = 3',
            "unknown key 'scenario.mine.sede'; did you mean 'seed'?",
        ),
        (VALID + '[scenario.mine]\nkind = "nois"\n', "scenario.mine = {'kind': 'nois'}: input tag 'nois' found"),
        ('seeds = "4-x"' + VALID, "seeds = '4-x': '4-x' is neither a seed nor a range like 0-4"),
        ("seeds = []" + VALID, "seeds = []: '[]' holds no seed"),
        ("seeds = [true]" + VALID, "seeds = [True]: seeds are a range like '0-4'"),
        (VALID.replace("epochs = 2", 'epochs = "many"'), "recipe.epochs = 'many': input should be a valid integer"),
        (VALID.replace("epochs = 2", "lr = 0.1"), "the key 'recipe.epochs' is missing"),
        (VALID.replace("conv8:conv4", "conv8"), "pairs.0 = 'conv8': 'conv8' is not of the form teacher:student"),
        (VALID.replace('["conv8:conv4"]', "[]"), "'pairs' is empty, so there is nothing to run"),
        (VALID + '[methods.kd]\npairs = "x"', "methods.kd.pairs holds no tables of parameters by pair"),
        (
            VALID + '[methods.kd.pairs."conv8"]\nweight = 1',
            "methods.kd.pairs: 'conv8' is not of the form teacher:student",
        ),
        ("\x00", "not valid TOML: Invalid statement (at line 1, column 1)"),
    ],
)
def test_a_faulty_benchmark_file_is_told_in_one_line(tmp_path, text, says):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(str(path))
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        load(str(path))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text('name = "x"\n' + VALID)
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert load(str(marked)).model_dump(exclude={"place"}) == load(str(plain)).model_dump(exclude={"place"})


def test_a_benchmark_is_called_like_its_file_unless_it_says_otherwise(tmp_path):
    path = tmp_path / "my_own.toml"
    path.write_text(VALID)
    assert load(str(path)).name == "my-own"
    path.write_text('name = "x"' + VALID)
    assert load(str(path)).name == "x"


def test_an_unknown_benchmark(tmp_path):
    with pytest.raises(UserError, match=r"unknown benchmark 'digts' \(.*\); did you mean 'digits'"):
        load("digts")
    with pytest.raises(UserError, match=r"no benchmark file meal_small\.toml; the benchmark that .* is 'meal-small'"):
        load("meal_small.toml")
    with pytest.raises(UserError, match=r"benchmark file .*none\.toml cannot be read: No such file or directory"):
        load(str(tmp_path / "none.toml"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load(str(tmp_path))


def test_the_kind_of_a_scenario_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(VALID + '[scenario.mine]\nkind = "few"\nimages = "many"')
    with pytest.raises(UserError, match=r"scenario\.mine\.images = 'many': input should be a valid integer"):
        load(str(path))


def test_parameters_of_a_method_for_all_pairs_and_for_one() -> None:
    content = {
        "name": "b",
        "datasets": ["digits"],
        "pairs": ["a:b", "c + d:b"],
        "recipe": {"epochs": 1},
        "methods": {"kd": {"weight": 1, "without": "ce", "pairs": {" c+d : b": {"weight": 2}}}},
    }
    benchmark = parse(content, "b.toml")
    assert benchmark.pairs == (Pair(("a",), "b"), Pair(("c", "d"), "b"))
    place = "benchmark 'b'"
    assert benchmark.layers == {
        "kd": {None: Layer({"weight": 1}, ("ce",), place), benchmark.pairs[1]: Layer({"weight": 2}, ("ce",), place)}
    }


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        ".hidden",
        "/etc",
        "../up",
        "a/b",
        "a\\b",
        "a\nb",
        "a\x1b[31mb",
        "nul",
        "COM1.x",
        "end.",
        "x" * 101,
        "a:b",
    ],
)
def test_a_name_that_no_folder_can_have_is_a_usage_error(name: str) -> None:
    with pytest.raises(UserError, match="cannot be a folder's name") as error:
        parse({**content_of("digits"), "name": name}, "mine.toml")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["digits", "my-bench_2", "v1.0", "résumé", "a b", "c+d", "console"])
def test_other_names_are_the_users_own(name: str) -> None:
    assert parse({**content_of("digits"), "name": name}, "mine.toml").name == name


@pytest.mark.parametrize("name", ["", "a\nb", "../a", "\x1b[31m"])
def test_a_scenario_needs_a_name_too(name: str) -> None:
    with pytest.raises(UserError, match="scenario"):
        parse({**content_of("digits"), "scenario": {name: {"kind": "clean"}}}, "mine.toml")


MARKUP = ["<b>x</b>", "[red]x[/]", "a\nb", "\x1b[31m", "../up", "=1+1", "@all", "$x$", "x`y`", "a|b", "a/b/c", "", "/a"]


@pytest.mark.parametrize("name", MARKUP)
@pytest.mark.parametrize(
    "changes",
    [
        lambda name: {"datasets": [name]},
        lambda name: {"pairs": [Pair((name,), "conv16")]},
        lambda name: {"pairs": [Pair(("conv32",), name)]},
        lambda name: {"run": [name]},
        lambda name: {"references": ["vanilla", name]},
        lambda name: {"metrics": [name]},
        lambda name: {"scenarios": [name]},
        lambda name: {"models": {name: {}}},
        lambda name: {"methods": {name: {}}},
        lambda name: {"methods": {"kd": {name: 1}}},
        lambda name: {"dataset": {name: {}}},
        lambda name: {"optimizers": {name: {}}},
        lambda name: {"variants": [{"method": name}]},
        lambda name: {"variants": [{"method": "kd", "parameters": {name: 1}}]},
        lambda name: {"variants": [{"method": "kd", "without": [name]}]},
    ],
    ids=["datasets", "teacher", "student", "run", "references", "metrics", "scenarios", "models", "methods",
         "parameter", "dataset", "optimizers", "variant", "of variant", "without"],
)  # fmt: skip
def test_what_is_no_name_is_refused_when_it_is_read(changes: Any, name: str) -> None:
    with pytest.raises(UserError, match=r"^mine\.toml: ") as error:
        parse({**content_of("digits"), **changes(name)}, "mine.toml")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\u202eright"])
@pytest.mark.parametrize(
    "changes",
    [
        lambda text: {"variants": [{"method": "kd", "parameters": {"mode": text}}]},
        lambda text: {"methods": {"kd": {"pairs": {"a:b": {"modes": ["x", text]}}}}},
        lambda text: {"dataset": {"imagefolder": {"folder": text}}},
    ],
)
def test_a_text_that_cannot_be_printed_is_no_parameter(changes: Any, text: str) -> None:
    with pytest.raises(UserError, match="holds what cannot be printed") as error:
        parse({**content_of("digits"), **changes(text)}, "mine.toml")
    assert str(error.value).isprintable()


def test_a_packages_own_name_is_a_name() -> None:
    content = {**content_of("digits"), "run": ["my-package/soft_targets"], "metrics": ["other/top1"]}
    assert parse(content, "mine.toml").run == ("my-package/soft_targets",)


def content_of(name: str) -> dict[str, Any]:
    return {"name": name, **tomllib.loads(available()[name].read_text(encoding="utf-8"))}
