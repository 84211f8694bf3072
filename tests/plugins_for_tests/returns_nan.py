"""A method whose loss is not a number."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class ReturnsNan(Method):
    """A loss of 0 / 0."""

    name = "returns_nan"

    def losses(self, batch, student, teacher):
        zero = 0 * F.cross_entropy(student.logits, batch.targets)
        return {"ce": zero / zero.detach()}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(ReturnsNan)]
