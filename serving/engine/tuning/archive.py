"""Zip files: of images in a folder for each class, or of an adapter; read within bounds, whatever they claim.

Nothing is written by a name out of the archive but the name of a class, which is checked; sizes are those of the bytes
that come out, not those that the archive tells.
"""

import io
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from needle.data.datasets.image_folder import SUFFIXES, SYSTEM
from needle.errors import DataError
from needle.nn.lora.config import MAX_CONFIG
from serving.engine.limits import MIB
from zoo.adapted import CARD, MAX_CARD

MOST_ENTRIES = 100_000
MOST_DIRECTORY = 8 * MIB  # bytes of the list of entries, which is read at once
MOST_EACH, MOST_ALL = 64 * MIB, 1024 * MIB  # bytes that come out
END, ZIP64 = b"PK\x05\x06", b"PK\x06\x07"  # the record at an archive's end, and what large ones have before it
CLASS = re.compile(r"[^/\\\0-\x1f]{1,100}")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ADAPTER = {"adapter_config.json": MAX_CONFIG, "adapter_model.safetensors": MOST_ALL, CARD: MAX_CARD}  # likewise


def unpack_images(archive: Path, folder: Path) -> int:
    """Write the images in CLASS/... of an archive into folders of those names; how many. Raises DataError.

    One folder around all classes is passed over, as are hidden files and those of systems.
    """
    with _opened(archive) as file:
        found = [(info, parts) for info, parts in _entries(file) if parts[-1].lower().endswith(SUFFIXES)]
        depth = 1 if found and all(len(parts) > 2 for _, parts in found) and len({p[0] for _, p in found}) == 1 else 0
        left = MOST_ALL
        for number, (info, parts) in enumerate(found):
            if len(parts) < 2 + depth:
                raise DataError(f"{info.filename!r:.80} must lie in the folder of its class")
            target = folder / parts[depth] / f"{number:06}{PurePosixPath(parts[-1]).suffix.lower()}"
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                left -= _copy(file, info, out, min(left, MOST_EACH))
    if not found:
        raise DataError(f"it holds no images ({', '.join(SUFFIXES)}) in folders of their classes")
    return len(found)


def unpack_adapter(data: bytes, folder: Path) -> int:
    """Write the files of an adapter, which lie in one folder of the archive, into `folder`; how many bytes they have.

    Raises DataError.
    """
    needed = [name for name in ADAPTER if name != CARD]
    with _opened(io.BytesIO(data)) as file:
        found = {parts: info for info, parts in _entries(file) if parts[-1] in ADAPTER}
        homes = {parts[:-1] for parts in found}
        if len(homes) != 1 or not all((*home, name) in found for home in homes for name in needed):
            raise DataError(f"it must hold {' and '.join(needed)}, in one folder")
        size = 0
        for parts, info in found.items():
            with (folder / parts[-1]).open("wb") as out:
                size += _copy(file, info, out, ADAPTER[parts[-1]])
    return size


def pack_adapter(folder: Path) -> bytes:
    """An archive of the files of an adapter, the same for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ADAPTER:
            if (folder / name).exists():
                file.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes(), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _opened(source: Path | io.BytesIO) -> zipfile.ZipFile:
    """The archive, whose list of entries is of moderate size. Raises DataError."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source.getbuffer()) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - (1 << 16) - 42))
        end = file.read()
    at = end.rfind(END)
    if at < 0 or len(end) - at < 22:
        raise DataError("it is no zip file, or cut short")
    is_large = at >= 20 and end[at - 20 : at - 16] == ZIP64
    if is_large or int.from_bytes(end[at + 12 : at + 16], "little") > MOST_DIRECTORY:
        raise DataError(f"its list of files has more than {MOST_DIRECTORY // MIB} MiB")
    try:
        return zipfile.ZipFile(source)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise DataError(f"it is no zip file: {error}") from None


def _entries(file: zipfile.ZipFile) -> Iterator[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """The files that a user has put in, each with the parts of its name. Raises DataError for names that lead out."""
    if len(file.infolist()) > MOST_ENTRIES:
        raise DataError(f"it has more than {MOST_ENTRIES:,} entries")
    for info in file.infolist():
        parts = tuple(info.filename.split("/"))
        if info.is_dir():
            continue
        if not all(CLASS.fullmatch(part) and part not in (".", "..") for part in parts) or ":" in parts[0]:
            raise DataError(f"{info.filename!r:.80} is no path inside a folder")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.flag_bits & 1 or info.compress_type not in METHODS:
            raise DataError(f"{info.filename!r:.80} is a link, encrypted, or packed in a rare way")
        if not any(part.startswith(".") or part.lower() in SYSTEM for part in parts):
            yield info, parts


def _copy(file: zipfile.ZipFile, info: zipfile.ZipInfo, out: IO[bytes], most: int) -> int:
    """Copy what an entry holds; how many bytes. Raises DataError beyond `most`, or for what is damaged."""
    size = 0
    try:
        with file.open(info) as source:
            while block := source.read(1 << 16):
                size += len(block)
                if size > most:
                    bounds = f"{most:,} bytes of {info.filename!r:.80}, {MOST_ALL // MIB} MiB in all"
                    raise DataError(f"it unpacks to more than is taken: {bounds}")
                out.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{info.filename!r:.80} is damaged: {error}") from None
    return size


def discard(folder: Path) -> None:
    """Delete a folder and what is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
