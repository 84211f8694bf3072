"""Every built-in method, and its variants that take another way through the engine, as cases to check."""

from __future__ import annotations

import tomllib
from pathlib import Path

from kdharness.registry.manager import Registry
from kdharness.testing import MethodCase

# As the oracle of final weights has them.
GOLDEN = Path(__file__).parent.parent / "golden" / "methods.toml"
PAIR = "conv16:conv8"
# Methods for students that others need not be, or that compare channels one by one, or read the stem.
PAIRS = {"deit": "conv16:deit_micro_p2", **dict.fromkeys(("fsp", "kdsvd"), "resnet14:resnet8")}
# Methods that see several teachers, or their ensemble.
MANY = {"kd": {}, "meal": {"teacher_choice": "mean_probability"}, "meal_v2": {}}
# Epochs that show all of a method's phases, where two do not.
EPOCHS = {"rona": 6}
# What a benchmark names for a pair; noise that can be repeated, and no more teachers than it takes.
NAMED = {"takd": {"assistant": "conv4"}, "pate": {"noise": 0, "teachers": 3}, "dp_sgd": {"noise": 0}}


def builtin_cases() -> list[MethodCase]:
    methods = {name: found.spec for name, found in Registry.load().methods.items()}
    variants = tomllib.loads(GOLDEN.read_text(encoding="utf-8"))["variants"]
    asked = [(name, NAMED.get(name, {})) for name in methods]
    for variant in variants:
        without = {"without": variant["without"]} if "without" in variant else {}
        asked.append((variant["method"], {**variant.get("parameters", {}), **without}))
    found = [MethodCase(methods[name], given, PAIRS.get(name, PAIR), EPOCHS.get(name, 2)) for name, given in asked]
    return found + [MethodCase(methods[name], given, "conv16+conv8:conv8") for name, given in MANY.items()]
