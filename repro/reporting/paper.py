"""The paper's printed numbers: every cell of Tables 1 to 9, read from `config/paper_tables.csv`."""

import csv
from decimal import Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from repro.config import CONFIG_DIR
from repro.errors import ReproError

FILE = "paper_tables.csv"


class Cell(BaseModel):
    """One printed number; `str(value)` is what the paper prints, its last zeros included.

    `tolerance` is the printed ±; `higher_is_better` is None for a mere setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    table: int = Field(ge=1, le=9)
    row: str = Field(pattern=r"^[a-z0-9_]+$")
    metric: str = Field(pattern=r"^[a-z0-9_]+$")
    value: Decimal
    unit: str
    higher_is_better: bool | None = None
    tolerance: Decimal | None = None
    source: str

    @property
    def for_reference(self) -> bool:
        """Starred by the paper as an average, printed for reference only: nothing to be divided by."""
        return "for reference only" in self.source

    @property
    def printed(self) -> str:
        return str(self.value) if self.tolerance is None else f"{self.value} ± {self.tolerance}"


def load(config_dir: Path = CONFIG_DIR) -> list[Cell]:
    """Every cell, in file order. Raises ReproError naming the line that is wrong or printed twice."""
    path = Path(config_dir) / FILE
    if not path.is_file():
        raise ReproError(f"{path} is missing: restore it from the repository")
    cells: dict[tuple, Cell] = {}
    with path.open(newline="") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            try:
                cell = Cell(**{k: v for k, v in row.items() if v != ""})
            except (ValidationError, TypeError) as error:
                raise ReproError(f"{FILE}, line {line}: {error}") from error
            key = (cell.table, cell.row, cell.metric)
            if key in cells:
                raise ReproError(f"{FILE}, line {line}: table {key[0]}, row {key[1]}, {key[2]} appears twice")
            cells[key] = cell
    return list(cells.values())


def table(number: int, config_dir: Path = CONFIG_DIR) -> dict[tuple[str, str], Cell]:
    """Cells of one table by (row, metric)."""
    return {(c.row, c.metric): c for c in load(config_dir) if c.table == number}
