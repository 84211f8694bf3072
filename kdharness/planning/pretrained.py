"""Weights that a model's networks begin with: a file, or published ones that the model's plugin knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kdharness.api.declarations import ModelSpec, Pretrained
from kdharness.api.parameters import Parameter
from kdharness.errors import UnknownName, UserError
from kdharness.planning.asked import DataPlace
from kdharness.planning.cell import UNKNOWN
from kdharness.protocol.variant import Value
from kdharness.text import plain
from kdharness.weights.choice import marked, split_choice
from kdharness.weights.digests import sha256_of

# What every model's table may hold.
WEIGHTS = Parameter("weights", str, "")
NEW_CLASSIFIER = Parameter("new_classifier", bool, False)

# The folder of downloaded weights, in that of all data.
FOLDER = "weights"


@dataclass(frozen=True)
class Start:
    """What a model's networks begin with.

    document: its part of a cell's identity; {} for weights that are drawn.
    text: for people.
    files: by SHA-256, where a file lies.
    seen_data: what the weights were trained on, UNKNOWN where nobody says; "" for weights that are drawn.
    """

    document: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    seen_data: str = ""


def start_of(spec: ModelSpec, given: Mapping[str, Value], data: DataPlace) -> Start:
    """given: all that is said of the model. UserError for weights that are not there."""
    weights, new_classifier = given[WEIGHTS.name], given[NEW_CLASSIFIER.name].value
    if not weights.value:
        return Start()
    if new_classifier and not spec.classifier:
        raise UserError(f"model '{spec.name}' declares no classifier, so that new_classifier says nothing")
    extra = {"new_classifier": True} if new_classifier else {}
    releases = published(spec)
    if weights.value in releases:
        _check_there(spec, weights.value, releases[weights.value], data)
        seen = plain(releases[weights.value].seen_data) or UNKNOWN
        return Start({"weights": {"release": weights.value, **extra}}, weights.value, seen_data=seen)
    path, chosen = split_choice(weights.value)
    if not path.suffix and not path.exists():
        raise UnknownName(f"file or published weights of model '{spec.name}'", weights.value, releases, weights.place)
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise UserError(f"weights of model '{spec.name}': file {path} cannot be read: {error.strerror}") from None
    choice = {"chosen": chosen} if chosen else {}
    document = {"weights": {"sha256": digest, **choice, **extra}}
    return Start(document, f"file {marked(digest[:12], chosen)}", {digest: str(path.resolve())}, UNKNOWN)


def published(spec: ModelSpec) -> Mapping[str, Pretrained]:
    """The published weights that the model's plugin knows, by name."""
    return spec.pretrained() if spec.pretrained is not None else {}


def release_path(release: Pretrained, data_root: Path) -> Path:
    """Where published weights lie once they are downloaded: many files are called "model.pt", so the address counts."""
    name = Path(urlsplit(release.url).path).name
    address = sha256(f"{release.url} {release.sha256}".encode()).hexdigest()[:12]
    return data_root / FOLDER / f"{address}-{name}"


def fault_of(release: Pretrained, path: Path) -> str:
    """Why published weights cannot be read from `path` as it is; '' where they can."""
    if not path.exists():
        return f"not there: {path}"
    found = sha256_of(path) if release.sha256 else ""
    if found.startswith(release.sha256.lower()):
        return ""
    return f"not those that are published: the sha256 of {path} is {found}, and {release.sha256} is expected"


def _check_there(spec: ModelSpec, name: str, release: Pretrained, data: DataPlace) -> None:
    fault = fault_of(release, release_path(release, data.root))
    if fault and not data.download:
        where = f"{fault}; --download gets them from {release.url}"
        raise UserError(f"weights '{name}' of model '{spec.name}' are {where}")
