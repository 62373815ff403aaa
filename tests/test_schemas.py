"""The committed JSON schemas are those of the models, and say what the models say."""

import json

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from repro.config import CONFIG_DIR, Profile, Run, Student, json_schema
from repro.sources import TableNeed, WeightSource

SCHEMAS = CONFIG_DIR / "schemas"


@pytest.mark.parametrize("model", [Profile, Run, Student, TableNeed, WeightSource])
def test_schema_is_current(model):
    path = SCHEMAS / f"{model.__name__.lower()}.schema.json"
    assert path.read_text() == json_schema(model), f"{path.name} is out of date: run `make schemas`"


def test_snakemake_validates_with_the_schema():
    path = SCHEMAS / "student.schema.json"
    row = {"student": "a", "forcing": "diagonal", "schedule": "4322222", "window_frames": 12}
    validate(dict(row), str(path))
    with pytest.raises(WorkflowError, match="sideways"):
        validate(row | {"forcing": "sideways"}, str(path))
    assert json.loads(path.read_text())["additionalProperties"] is False
