"""What every settings file shares: strict frozen models, sheets of rows, and errors that name the value."""

import csv
import io
import json
from pathlib import Path

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from repro.errors import ReproError
from repro.files import read_text

ROOT = Path(__file__).resolve().parents[2]
CONFIG_DIR = ROOT / "config"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def explain(error: ValidationError, where: str) -> ReproError:
    """What is wrong with a file, row or set of options, field by field, the offending value in each line."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(whole)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key {key!r} (value {item['input']!r}); remove it or correct its spelling")
        else:
            lines.append(f"{where}: {key} = {item.get('input')!r}: {item['msg']}")
    return ReproError("\n".join(lines))


def load_rows(path: Path, model: type[Section], key: str) -> dict:
    """A sheet's rows by their key. Raises ReproError naming line, column and value of what is wrong."""
    if not path.is_file():
        raise ReproError(f"{path} is missing: restore it from the repository")
    rows = {}
    text = read_text(path, "restore it from the repository")
    with io.StringIO(text, newline="") as handle:
        for number, row in enumerate(csv.DictReader(handle), start=2):
            where = f"{path.name}, line {number}"
            row = {k: v for k, v in row.items() if v != ""}
            if None in row:
                raise ReproError(f"{where}: more values than columns: {row[None]!r}")
            try:
                item = model(**row)
            except ValidationError as error:
                raise explain(error, where) from error
            if getattr(item, key) in rows:
                raise ReproError(f"{where}: {key} {getattr(item, key)!r} appears twice; every row needs its own")
            rows[getattr(item, key)] = item
    return rows


def json_schema(model: type[BaseModel]) -> str:
    """JSON Schema text of a model, with the `$schema` key Snakemake's validate() wants."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | model.model_json_schema()
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
