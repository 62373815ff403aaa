"""Atomic writes: a reader sees the old file or the new one, never half of either."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from repro.errors import ReproError


def write_atomic(path: Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary_path)`, then rename the result to `path`.

    The temporary file lies beside the target and keeps its suffix. Raises ReproError where the
    folder cannot be written or the disk is full; the old file, if any, stays.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ReproError(
            f"cannot write {path}: {error.strerror or error}. Make the folder writable, free some space, "
            "or choose another results folder with --config results=PATH"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    return write_atomic(path, lambda p: p.write_text(text))


def write_json(path: Path, value) -> Path:
    return write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
