"""Named arrays in a file: the safetensors format, read strictly and written atomically.

A file is eight bytes (little-endian length of the header), the header (JSON: name -> dtype, shape, data_offsets, and
optional string pairs under "__metadata__"), then the elements of every array, row-major and without gaps.
Source: the format description of https://github.com/huggingface/safetensors. Nothing in a file can execute.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy

from .errors import DataError

MAX_HEADER = 100_000_000  # bytes, as the reference implementation has it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # what writing, and hardly anything else, fails with
ALIGN = 64  # the header is padded with spaces so that the elements start on a cache line

DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32",
    "U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64",
}  # fmt: skip
_unfinished: set[str] = set()  # the temporary files of `atomic_write` blocks that have not ended
NAMES = {numpy.dtype(dtype): name for name, dtype in DTYPES.items()}


def dump_safetensors(arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file that holds `arrays` (name -> array), sorted by name.

    Raises DataError for a dtype that the format does not have.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    blocks: list[bytes] = []
    offset = 0
    for name in sorted(arrays):
        array = numpy.asarray(arrays[name])
        if array.dtype not in NAMES:
            known = ", ".join(DTYPES.values())
            raise DataError(f"[safetensors] array {name!r} has dtype {array.dtype}, the format has {known}")
        block = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(block)],
        }
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGN)
    return b"".join([len(text).to_bytes(8, "little"), text, *blocks])


def parse_safetensors(data: bytes | memoryview, where: str = "safetensors") -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays, metadata) of a safetensors file given as bytes; the arrays are read-only views of `data`.

    Raises DataError, naming `where` and the array, for anything that the format does not allow.
    """
    view = memoryview(data)
    if len(view) < 8:
        raise DataError(f"[{where}] needs at least 8 bytes, got {len(view)}")
    length = int.from_bytes(view[:8], "little")
    if length > min(MAX_HEADER, len(view) - 8):
        raise DataError(f"[{where}] the header claims {length} bytes, the file has {len(view) - 8} after the first 8")
    header = _parse_header(bytes(view[8 : 8 + length]), where)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DataError(f"[{where}] __metadata__ must map strings to strings")
    body = view[8 + length :]
    spans = {name: _entry(name, entry, where) for name, entry in header.items()}
    expected = 0
    for name, (_, _, begin, end) in sorted(spans.items(), key=lambda item: (item[1][2], item[1][3])):
        if begin != expected:
            raise DataError(f"[{where}] array {name!r} starts at byte {begin}, expected {expected}: gap or overlap")
        expected = end
    if expected != len(body):
        raise DataError(f"[{where}] the arrays take {expected} bytes, the file has {len(body)}")
    arrays = {
        name: numpy.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
        for name, (dtype, shape, begin, end) in spans.items()
    }
    return arrays, metadata


def _parse_header(text: bytes, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise DataError(f"[{where}] the header names an entry twice")
        return result

    try:
        header = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"[{where}] the header is not JSON: {error}") from None
    if not isinstance(header, dict) or not text.startswith(b"{"):
        raise DataError(f"[{where}] the header must be a JSON object")
    return header


def _entry(name: str, entry: Any, where: str) -> tuple[numpy.dtype, tuple[int, ...], int, int]:
    """(dtype, shape, begin, end) of one array, checked against each other."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise DataError(f"[{where}] array {name!r} needs exactly dtype, shape and data_offsets, got {entry!r:.200}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise DataError(f"[{where}] array {name!r} has unknown dtype {dtype!r:.100}")
    if not _sizes(shape) or len(shape) > 32 or not _sizes(offsets) or len(offsets) != 2:
        raise DataError(f"[{where}] array {name!r} has a malformed shape or data_offsets: {entry!r:.200}")
    needed = prod(shape) * numpy.dtype(DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != needed:
        raise DataError(f"[{where}] array {name!r}, {dtype} of shape {shape}, needs {needed} bytes, got {offsets}")
    return numpy.dtype(DTYPES[dtype]).newbyteorder("<"), tuple(shape), offsets[0], offsets[1]


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(x) is int and 0 <= x < 2**63 for x in value)


@contextmanager
def atomic_write(path: str | os.PathLike[str], durable: bool = True) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` whole, when the block ends without an error, or not at all.

    `durable`: even if the machine loses its power; that takes a write to the disk, which may last longer than a step.
    Raises DataError where the folder does not exist or may not be written to, and when the disk is full.
    """
    import tempfile  # with a dozen modules behind it, which nobody needs who only reads

    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    except OSError as error:
        raise DataError(f"[atomic_write] {path} cannot be written: {error.strerror}") from None
    _unfinished.add(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        if durable:
            _sync_folder(target.parent)
    except BaseException as error:
        with suppress(FileNotFoundError):  # an interrupt may come when it is in its place already
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno in FULL:  # others may come from what the block reads
            raise DataError(f"[atomic_write] {path} cannot be written: {error.strerror}") from None
        raise
    finally:
        _unfinished.discard(temporary)


def _sync_folder(folder: Path) -> None:
    """Write to the disk which files a folder has: a file without its name would be lost. Not all systems can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def discard_unfinished() -> None:
    """Remove what `atomic_write` has begun and not ended: for a process that is about to end at once."""
    for temporary in list(_unfinished):
        with suppress(OSError):
            os.unlink(temporary)


def save_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> str:
    """Write `arrays` to `path`, whole or not at all; the sha256 of the file."""
    data = dump_safetensors(arrays, metadata)
    with atomic_write(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def load_safetensors(path: str | os.PathLike[str], sha256: str | None = None) -> dict[str, Any]:
    """The arrays of a safetensors file by name. Raises DataError if it is malformed or its hash is not `sha256`."""
    return read_safetensors(path, sha256)[0]


def read_safetensors(
    path: str | os.PathLike[str], sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays, metadata) of a safetensors file. Raises DataError as `load_safetensors` does."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"[safetensors] {path} cannot be read: {error.strerror}") from None
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise DataError(f"[safetensors] {path} is not the published file: sha256 {found}, expected {sha256}")
    return parse_safetensors(data, str(path))
