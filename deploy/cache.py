"""The compiled libraries that this user has: a folder each, named by the hash of what was compiled.

A folder is whole or not there: it is filled under another name and renamed. Of several processes that need the same
one, one compiles it while the others wait at its lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from needle.environment import cache_folder, home, unwritable
from needle.errors import SettingError

from .compiler import FLAGS, LEAN, compiler, variants, version
from .errors import BuildError
from .generate import Generated

RECORD = "built.json"  # written last
FOLDER = "compiled"


def key(generated: Generated) -> str:
    """The hash of everything that decides what the compiled files are. BuildError where there is no compiler."""
    settings = (FLAGS, LEAN, [variants()[level] for level in generated.levels], compiler())
    parts = [version(), repr(settings).encode()]
    parts += [part for name in sorted(generated.files) for part in (name.encode(), generated.files[name])]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def record(generated: Generated) -> dict[str, Any]:
    """What a folder says of itself."""
    return {"structure": generated.hash, "name": generated.name, "levels": list(generated.levels)}


def found(generated: Generated) -> Path | None:
    """The folder of a program; where there is no compiler, one that any compiler made of it, perhaps for more
    instruction sets. None if there is none.
    """
    try:
        folders = home() / FOLDER
        candidates = [folders / key(generated)]
    except SettingError:
        return None
    except BuildError:
        candidates = sorted(x.parent for x in folders.glob(f"*/{RECORD}"))
    for folder in candidates:
        with suppress(OSError, ValueError):  # not there, or half gone
            said, wanted = json.loads((folder / RECORD).read_text()), record(generated)
            levels = said.pop("levels")
            if said.items() <= wanted.items() and (set(levels) >= set(generated.levels)):
                return folder
    return None


def made(generated: Generated, fill: Callable[[Path], object]) -> tuple[Path, float]:
    """The folder of a program, and how long `fill(folder)` took if it had to make it.

    Raises SettingError if the cache cannot be written, and whatever `fill` raises.
    """
    folder = cache_folder(FOLDER) / key(generated)
    with _locked(folder):
        if (folder / RECORD).is_file():
            return folder, 0.0
        started = time.monotonic()
        try:
            with temporary(folder.parent, folder.name) as work:
                fill(work)
                (work / RECORD).write_text(json.dumps(record(generated)))
                work.rename(folder)
        except OSError as error:
            if not (folder / RECORD).is_file():  # else another process was faster; its files are the same
                raise unwritable(folder.parent, error) from None
        return folder, time.monotonic() - started


def kept(folder: Path, data: bytes) -> Path:
    """A file of weights in a program's folder, named by what is in it. Raises SettingError if it cannot be written."""
    path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.weights"
    if not path.is_file():
        try:
            with temporary(folder) as work:
                (work / path.name).write_bytes(data)
                (work / path.name).replace(path)
        except OSError as error:
            raise unwritable(folder, error) from None
    return path


@contextmanager
def temporary(parent: Path, name: str = "") -> Iterator[Path]:
    """A folder inside `parent` that is gone after the block, unless it was renamed.

    With a `name`, which one process at a time may use: what one that was killed left there goes first.
    """
    if name:
        work = parent / f".building-{name}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
    else:
        work = Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time inside the block, for this folder."""
    path = folder.with_name(f".{folder.name}.lock")
    while True:
        try:
            file = path.open("w")
        except OSError as error:
            raise unwritable(folder.parent, error) from None
        fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(OSError):  # whoever had it before has removed it
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                break
        file.close()
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            fcntl.flock(file, fcntl.LOCK_UN)  # closing does not unlock what a forked child has open too
