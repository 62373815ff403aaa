"""The paper's printed numbers: every cell of Tables 1 to 9, read from `config/paper_tables.csv`."""

from decimal import Decimal
from pathlib import Path

from pydantic import Field

from repro.config import CONFIG_DIR, Section, load_rows

FILE = "paper_tables.csv"


class Cell(Section):
    """One printed number; `str(value)` is what the paper prints, its last zeros included.

    `tolerance` is the printed ±; `higher_is_better` is None for a mere setting.
    """

    table: int = Field(ge=1, le=9)
    row: str = Field(pattern=r"^[a-z0-9_]+$")
    metric: str = Field(pattern=r"^[a-z0-9_]+$")
    value: Decimal
    unit: str
    higher_is_better: bool | None = None
    tolerance: Decimal | None = None
    source: str

    @property
    def key(self) -> tuple[int, str, str]:
        return self.table, self.row, self.metric

    @property
    def for_reference(self) -> bool:
        """Starred by the paper as an average, printed for reference only: nothing to be divided by."""
        return "for reference only" in self.source

    @property
    def printed(self) -> str:
        return str(self.value) if self.tolerance is None else f"{self.value} ± {self.tolerance}"


def load(config_dir: Path = CONFIG_DIR) -> list[Cell]:
    """Every cell, in file order. Raises ReproError naming the line that is wrong or printed twice."""
    return list(load_rows(Path(config_dir) / FILE, Cell, "key").values())


def table(number: int, config_dir: Path = CONFIG_DIR) -> dict[tuple[str, str], Cell]:
    """Cells of one table by (row, metric)."""
    return {(c.row, c.metric): c for c in load(config_dir) if c.table == number}
