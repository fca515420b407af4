"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from evalkit.errors import StoreError


def locked(folder: Path) -> IO[str]:
    """Take the folder's lock, which the system releases when the process ends, however it ends.

    Args:
        folder: Folder of a collection.

    Returns:
        The lock file, beside the folder; closing it releases the lock. The file stays: removing it
        would let two processes each lock a file of that name.

    Raises:
        StoreError: Another process holds the lock, or the file cannot be written.
    """
    path = folder.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); choose another vector_store.path") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read() or "unknown"
        file.close()
        raise StoreError(
            f"{folder}: process {holder} is using it; wait for that process, or choose another vector_store.path"
        ) from None
    except OSError as error:
        file.close()
        raise StoreError(
            f"{path}: cannot be locked ({error.strerror}); choose a vector_store.path on a local disk"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
