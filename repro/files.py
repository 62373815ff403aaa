"""Atomic writes: a reader sees the old file or the new one, never half of either."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from repro.errors import ReproError


def write_atomic(path: Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary_path)`, then rename the result to `path`.

    The temporary file lies beside the target and keeps its suffix; one that a killed writer left is
    removed. Raises ReproError where the folder cannot be written or the disk is full; the old file,
    if any, stays.
    """
    path = Path(path)
    temporary = handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        temporary = Path(name)
        with suppress(OSError):  # some network file systems know no locks, and then nothing is swept
            fcntl.flock(handle, fcntl.LOCK_EX)
        write(temporary)
        temporary.chmod(0o644)
        # Some file systems tell of a full disk only now.
        os.fsync(handle)
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise ReproError(
            f"cannot write {path}: {getattr(error, 'strerror', None) or error}. Make the folder writable, free some "
            "space, or choose another folder"
        ) from error
    finally:
        if temporary is not None:
            os.close(handle)
            temporary.unlink(missing_ok=True)
    return path


def _sweep(path: Path) -> None:
    """Remove temporary files of `path` whose writer is dead: the kernel has dropped its lock."""
    for left in path.parent.glob(f".{path.stem}-*{path.suffix}"):
        with suppress(OSError), left.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def require_writable(folder: Path) -> None:
    """Make a file in `folder`, or in what there is of its parents, as a trial that leaves nothing behind: an error
    now is cheaper than one after hours of work."""
    folder = Path(folder)
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as trial:
            trial.write(b"trial")
    except OSError as error:
        raise ReproError(
            f"cannot write to {folder}: {error.strerror}. Make it writable, free some space, or choose another folder"
        ) from error


def try_lock(path: Path) -> IO | None:
    """The file, locked for this process as long as it is open; None where another process has it."""
    handle = Path(path).open("w")  # noqa: SIM115 - whoever asked closes it
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder`, made if need be, for this process alone; the kernel lets go of it however the process ends."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    lock = try_lock(Path(folder) / ".lock")
    if lock is None:
        raise ReproError(f"another process is at work in {folder}: wait until it has ended, or stop it")
    with lock:
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait for `folder`, made if need be, and hold it; where the file system knows no locks, nothing is held."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_text(path: Path, remedy: str) -> str:
    """A UTF-8 file's text. Raises ReproError, with the `remedy`, for one that is missing, forbidden or binary."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ReproError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except UnicodeDecodeError as error:
        raise ReproError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}): {remedy}") from error


def write_text(path: Path, text: str) -> Path:
    return write_atomic(path, lambda p: p.write_text(text))


def write_json(path: Path, value) -> Path:
    return write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
