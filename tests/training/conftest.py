"""A distillation at smoke size, of untrained networks."""

import pytest
import torch

from repro.config import Student, load_students
from repro.flow import x0_from_velocity
from repro.models.wan import WanDiT
from repro.training.dmd import Distillation


@pytest.fixture
def distil(smoke, untrained):
    """Makes the distillation of a row: a student and critic alike, and a teacher that is not."""

    def copy(scale=1.0):
        model = WanDiT(untrained.config)
        model.load_state_dict(untrained.state_dict())
        with torch.no_grad():
            model.proj_out.weight.mul_(scale)
        return model

    def make(profile=smoke, **changes):
        row = Student(**(load_students()["diagonal"].model_dump() | changes))
        return Distillation(profile, row, copy(), copy(), copy(1.5).requires_grad_(False), "cpu")

    return make


@pytest.fixture
def repeated():
    """Asserts that one forward over all chunks gives what the rollout gave one by one."""

    def check(distillation, made):
        student, generate = distillation.student, distillation.generate
        text = student.text_context(made.text_BLE)
        v = student(made.x, made.sigma_BF * 1000, text, history=generate.history, mask=generate.mask)
        x0 = x0_from_velocity(made.x, v, made.sigma_BF)
        torch.testing.assert_close(x0, made.x0, atol=1e-4, rtol=1e-4)

    return check
