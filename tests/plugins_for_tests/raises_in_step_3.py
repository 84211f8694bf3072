"""A method that fails in the third step of its training."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class RaisesInStep3(Method):
    """Labels alone, and an error in the third step."""

    name = "raises_in_step_3"

    def build(self, context):
        self.steps = 0

    def losses(self, batch, student, teacher):
        self.steps += 1
        if self.steps == 3:
            raise RuntimeError("an error of the method in step 3")
        return {"ce": F.cross_entropy(student.logits, batch.targets)}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(RaisesInStep3)]
