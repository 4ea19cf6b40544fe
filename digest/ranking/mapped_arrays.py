"""Arrays in files that all processes of a machine map into memory.

A prepared edition is some 60 MB. Mapped read-only, it is in memory once for all workers,
and a new worker has it at once instead of preparing it again.

    VAR_DIR/prepared/<name>/<array>.npy       one folder for each prepared thing

A folder is written under a temporary name, flushed to the disk and renamed, so it is
complete or absent, also after a power cut. The first of several writers wins.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import structlog

log = structlog.get_logger(__name__)

Arrays = dict[str, npt.NDArray[Any]]

NAMES_FILE = "names.txt"
TEMPORARY_PREFIX = ".writing-"
# An interrupted write is deleted by a later one after this time.
MAX_WRITE_SECONDS = 3_600


def load_arrays(folder: Path) -> Arrays | None:
    """Map the arrays of a folder read-only; None where there is no such folder."""
    try:
        names = (folder / NAMES_FILE).read_text().split()
        return {name: _map_array(folder / f"{name}.npy") for name in names}
    except FileNotFoundError:  # also where another process is deleting it
        return None


def _map_array(path: Path) -> npt.NDArray[Any]:
    try:
        # A plain array: the subclass memmap is slower in every operation.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # an array without elements cannot be mapped
        return np.asarray(np.load(path, allow_pickle=False))


def save_arrays(folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a folder of arrays, unless another process has written it meanwhile."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder.parent))
    try:
        (temporary / NAMES_FILE).write_text(" ".join(arrays))
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(temporary)
        with suppress(OSError):  # it exists
            temporary.rename(folder)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def store_arrays(folder: Path, arrays: Arrays, newest: int) -> None:
    """Save arrays and keep only the newest folders; a full disk is logged, not raised."""
    try:
        save_arrays(folder, arrays)
        delete_old_folders(folder.parent, newest, time.time())
    except OSError as error:
        log.warning("prepared arrays cannot be stored", error=str(error))


def delete_old_folders(parent: Path, number: int, now: float) -> None:
    """Keep the newest folders; processes that have mapped another one keep its memory."""
    by_age = sorted(_modified_at(folder) for folder in parent.iterdir())
    complete = [f for _, f in by_age if not f.name.startswith(TEMPORARY_PREFIX)]
    abandoned = [
        folder
        for at, folder in by_age
        if folder.name.startswith(TEMPORARY_PREFIX) and at < now - MAX_WRITE_SECONDS
    ]
    for folder in [*complete[:-number], *abandoned]:
        shutil.rmtree(folder, ignore_errors=True)


def _modified_at(folder: Path) -> tuple[float, Path]:
    try:
        return folder.stat().st_mtime, folder
    except FileNotFoundError:  # another process deleted it
        return 0.0, folder


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class PackedTexts(Sequence[tuple[str, ...]]):
    """Tuples of strings without line breaks, as UTF-8 in one array; decoded when read."""

    def __init__(self, text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]):
        self.text, self.starts = text, starts

    @classmethod
    def pack(cls, rows: Iterable[Sequence[str]]) -> "PackedTexts":
        # A line break after each string, so that () and ("",) differ.
        texts = ["".join(f"{s}\n" for s in row).encode() for row in rows]
        starts = np.cumsum([0, *map(len, texts)])
        return cls(np.frombuffer(b"".join(texts), np.uint8), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[str, ...]]: ...
    def __getitem__(
        self, index: int | slice
    ) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        start, end = self.starts[index % len(self) :][:2]
        return tuple(self.text[start:end].tobytes().decode().split("\n")[:-1])
