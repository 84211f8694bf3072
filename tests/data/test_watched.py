"""Tensors that cells share are watched for changes in place."""

from __future__ import annotations

import torch

from kdharness.data.watched import Watched


def test_a_change_in_place_of_any_of_them_is_seen() -> None:
    for changed in range(3):
        tensors = [torch.zeros(2) for _ in range(3)]
        watched = Watched()
        watched.watch({"0": tensors[0], "1": tensors[1]})
        watched.watch({"2": tensors[2]})
        assert not watched.changed
        tensors[changed].add_(1)
        assert watched.changed == str(changed)


def test_what_was_changed_before_it_was_watched_does_not_count() -> None:
    tensor = torch.zeros(2)
    tensor.add_(1)
    watched = Watched()
    watched.watch({"one": tensor, "other": tensor + 1})
    assert not watched.changed
