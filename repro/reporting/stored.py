"""Tables and arrays that a measurement wrote: read whole, or refused by name with what makes them again."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from repro.errors import ReproError

DAMAGED = (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile)
"""What readers raise for a file that is cut off, or holds something else."""


def _refusal(path: Path, error: Exception, maker: str) -> ReproError:
    if isinstance(error, FileNotFoundError):
        return ReproError(f"{path} is missing: make it with {maker}")
    return ReproError(f"{path} cannot be read ({error}): delete it and make it again with {maker}")


def table(path: Path, maker: str, columns: Sequence[str] = (), **options) -> pd.DataFrame:
    """A CSV by `pandas.read_csv` and its options. Raises ReproError for one that is missing, damaged or without rows,
    or has gaps in `columns`; `maker` is the command that makes it."""
    try:
        found = pd.read_csv(path, **options)
    except DAMAGED as error:
        raise _refusal(path, error, maker) from error
    absent = [c for c in columns if c not in found.columns or found[c].isna().any()]
    if absent or (columns and found.empty):
        raise ReproError(
            f"{path} has no rows, or gaps in column {', '.join(absent or columns)}: delete it and make it again with "
            f"{maker}"
        )
    return found


def arrays(path: Path, maker: str, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of an NPZ, none of them pickled. Raises ReproError as `table` does."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return [data[name] for name in names]
    except DAMAGED as error:
        raise _refusal(path, error, maker) from error
