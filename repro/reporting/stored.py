"""Tables and arrays that a measurement wrote: read whole, or refused by name with what makes them again."""

import zipfile
import zlib
from collections.abc import Collection, Sequence
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


def table(path: Path, maker: str, columns: Sequence[str] = (), keys: Sequence[str] = (), **options) -> pd.DataFrame:
    """A CSV by `pandas.read_csv` and its options. Raises ReproError for one that is missing, damaged or without rows,
    has gaps in `columns`, or text in one that `dtype` does not call text, or two rows with the same `keys`; `maker` is
    the command that makes it."""
    try:
        found = pd.read_csv(path, **options)
    except DAMAGED as error:
        raise _refusal(path, error, maker) from error
    wrong = _wrong(found, columns, keys, options.get("dtype", {}))
    if wrong:
        raise ReproError(f"{path} {wrong}: delete it and make it again with {maker}")
    return found


def _wrong(found: pd.DataFrame, columns: Sequence[str], keys: Sequence[str], text: Collection[str]) -> str | None:
    if columns and found.empty:
        return "has no rows"
    if absent := [c for c in columns if c not in found.columns]:
        return f"lacks column {', '.join(absent)}"
    for column in columns:
        values = found[column]
        bad = values.isna() if column in text else ~np.isfinite(pd.to_numeric(values, errors="coerce"))
        if bad.any():
            value = values[bad].iloc[0]
            told = "a gap" if pd.isna(value) else f"{value!s:.40}"
            return f"has {told} in column {column}, line {int(bad.to_numpy().argmax()) + 2}"
    if keys and (twice := found.duplicated(list(keys))).any():
        told = ", ".join(f"{k} {found[k][twice].iloc[0]}" for k in keys)
        return f"has {told} twice"
    return None


def arrays(path: Path, maker: str, names: Sequence[str]) -> list[np.ndarray]:
    """Arrays of an NPZ, none of them pickled. Raises ReproError as `table` does."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return [data[name] for name in names]
    except DAMAGED as error:
        raise _refusal(path, error, maker) from error
