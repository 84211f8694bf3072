"""Weights that networks begin with, from a file or from where they are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from kdharness.api.declarations import Pretrained
from kdharness.api.staged import StagedModel
from kdharness.errors import UserError
from kdharness.planning.pretrained import fault_of, published, release_path
from kdharness.weights.choice import marked
from kdharness.weights.digests import sha256_of
from kdharness.weights.fitting import fill
from kdharness.weights.reading import INITIAL_FILE, WeightsFile, load_weights


class InitialWeights:
    """Finds them, downloads them where that is allowed, and loads them.

    data_root: the folder of all data. Files are read once.
    """

    def __init__(self, data_root: Path, download: bool) -> None:
        self.data_root = data_root
        self.download = download
        self._found: set[Path] = set()
        self._read: dict[str, WeightsFile] = {}

    def load(self, model: StagedModel, weights: Mapping[str, Any], files: Mapping[str, str]) -> None:
        """weights: what the document of a cell says of them; files: by SHA-256, where files lie.

        UserError for a file that is not there, is not the one that was planned with, or does not fit.
        """
        if "release" in weights:
            release = published(model.spec)[weights["release"]]
            path, digest = self._there(release), release.sha256
        else:
            release, path, digest = None, Path(files[weights["sha256"]]), weights["sha256"]
        file = self._file(path, digest, weights.get("chosen", ""))
        if release is not None and release.renamed is not None:
            file = file.renamed(release.renamed)
        fill(model, file, but_for=model.spec.classifier if weights.get("new_classifier") else "")

    def _there(self, release: Pretrained) -> Path:
        """Where published weights lie, which may only now get there."""
        path = release_path(release, self.data_root)
        fault = fault_of(release, path) if path not in self._found else ""
        if fault and not self.download:
            raise UserError(f"published weights are {fault}; --download gets them from {release.url}")
        if fault:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                # Beside its place, checked, then put there: another worker may want it too.
                torch.hub.download_url_to_file(release.url, str(path), release.sha256.lower() or None, progress=False)
            except (OSError, RuntimeError) as error:
                raise UserError(f"{release.url} cannot be downloaded: {error}") from error
        self._found.add(path)
        return path

    def _file(self, path: Path, digest: str, chosen: str) -> WeightsFile:
        """What the file holds; digest: the first digits of its SHA-256. chosen: the place that is meant, "" for any."""
        key = f"{path} {marked(digest, chosen)}"
        if key not in self._read:
            if path.exists() and not sha256_of(path).startswith(digest):
                found = sha256_of(path)
                raise UserError(
                    f"{INITIAL_FILE} {path} is not the one that was planned with: sha256 {found}, not {digest}"
                )
            self._read[key] = load_weights(path, INITIAL_FILE, chosen)
        return self._read[key]
