"""The outer layer of a `.nd` file: one zip, members stored in a fixed order, each starting at a multiple of 64 bytes.

Any zip tool can list and extract it; because members are stored and aligned, weights can be memory-mapped. The reader
accepts exactly what `pack` writes: no compression, comments, gaps, overlaps or second names for the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

from .errors import NdFormatError

ALIGNMENT = 64
LOCAL = struct.Struct("<IHHHHHIIIHH")
CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
END = struct.Struct("<IHHHHIIH")
LOCAL_MAGIC, CENTRAL_MAGIC, END_MAGIC = 0x04034B50, 0x02014B50, 0x06054B50
VERSION, DATE = 20, 0x21  # zip 2.0; 1980-01-01, so that equal graphs give equal files
PADDING_ID = 0xD935  # the extra field that zipalign tools use: alignment, then zeros
MAX_BYTES = 2**32 - 2**20


def pack(members: Mapping[str, bytes]) -> bytes:
    """The file that holds `members`, in their order. Raises NdFormatError if they need more than 4 GiB."""
    if sum(map(len, members.values())) > MAX_BYTES:
        raise NdFormatError("[nd] a file holds at most 4 GiB")
    pieces, _ = _layout(members)
    return b"".join(bytes(piece) for _, piece in pieces)


def _layout(members: Mapping[str, Any]) -> tuple[list[tuple[int, Any]], dict[str, int]]:
    """Every piece of the file with its offset, and the offset of each member's data."""
    pieces: list[tuple[int, Any]] = []
    data_at: dict[str, int] = {}
    central, at = b"", 0
    for name, data in members.items():
        encoded, crc, size = name.encode(), zlib.crc32(data), len(data)
        padding = -(at + LOCAL.size + len(encoded) + 6) % ALIGNMENT
        extra = struct.pack("<HHH", PADDING_ID, 2 + padding, ALIGNMENT) + bytes(padding)
        header = LOCAL.pack(LOCAL_MAGIC, VERSION, 0, 0, 0, DATE, crc, size, size, len(encoded), len(extra))
        central += CENTRAL.pack(
            CENTRAL_MAGIC, VERSION, VERSION, 0, 0, 0, DATE, crc, size, size, len(encoded), 0, 0, 0, 0, 0, at
        )
        central += encoded
        header += encoded + extra
        data_at[name] = at + len(header)
        pieces += [(at, header), (at + len(header), data)]
        at += len(header) + size
    end = END.pack(END_MAGIC, 0, 0, len(members), len(members), len(central), at, 0)
    return [*pieces, (at, central), (at + len(central), end)], data_at


def count(file: bytes) -> int:
    """How many members the end of a file promises; 0 where there is no end."""
    return int(END.unpack_from(file, len(file) - END.size)[4]) if len(file) >= END.size else 0


def unpack(file: bytes, names: tuple[str, ...]) -> dict[str, memoryview]:
    """The members of a file, which must be exactly `names` in this order. Raises NdFormatError naming the place."""
    view = memoryview(file)
    if len(file) < END.size:
        raise NdFormatError(f"[nd] end of file: {len(file)} bytes are too few for a .nd file")
    magic, disk, start_disk, here, count, size, central_at, comment = END.unpack_from(file, len(file) - END.size)
    if magic != END_MAGIC or comment != 0:
        raise NdFormatError("[nd] end of file: no zip end record there; the file is truncated or not a .nd file")
    if (disk, start_disk, here, count) != (0, 0, len(names), len(names)):
        raise NdFormatError(f"[nd] end of file: needs {len(names)} members on one disk, got {here} of {count}")
    if central_at + size != len(file) - END.size:
        raise NdFormatError("[nd] end of file: the directory must end where this record starts")
    members, at = {}, central_at
    for name in names:
        members[name], at = _member(view, at, name, central_at)
    for offset, piece in _layout(members)[0]:
        if view[offset : offset + len(piece)] != piece:
            raise NdFormatError(f"[nd] byte {offset}: headers, padding or order differ from what this format writes")
    return members


def _member(view: memoryview, at: int, name: str, limit: int) -> tuple[memoryview, int]:
    """The data of the member whose directory entry is at `at`, and where the next entry starts."""
    where = f"[nd] {name}"
    if at + CENTRAL.size > len(view):
        raise NdFormatError(f"{where}: its directory entry is cut off")
    magic, _, _, flags, method, _, _, crc, packed, size, name_size, extra, comment, *_, offset = CENTRAL.unpack_from(
        view, at
    )
    if magic != CENTRAL_MAGIC:
        raise NdFormatError(f"{where}: no directory entry at byte {at}")
    found = bytes(view[at + CENTRAL.size : at + CENTRAL.size + name_size])
    if found != name.encode():
        raise NdFormatError(f"{where}: the member in its place is {found[:64]!r}")
    if method != 0 or flags != 0 or packed != size:
        raise NdFormatError(f"{where}: must be stored, neither compressed nor encrypted")
    if extra or comment:
        raise NdFormatError(f"{where}: no extra fields or comments are allowed in the directory")
    if offset + LOCAL.size > limit:
        raise NdFormatError(f"{where}: starts at byte {offset}, behind the data, which ends at {limit}")
    local = LOCAL.unpack_from(view, offset)
    data_at = offset + LOCAL.size + local[9] + local[10]
    if local[0] != LOCAL_MAGIC or data_at % ALIGNMENT:
        raise NdFormatError(f"{where}: no header at byte {offset}, or its data is not aligned to {ALIGNMENT} bytes")
    if data_at + size > limit:
        raise NdFormatError(f"{where}: {size} bytes from byte {data_at} reach behind the data, which ends at {limit}")
    data = view[data_at : data_at + size]
    if zlib.crc32(data) != crc:
        raise NdFormatError(f"{where}: the checksum does not match; the file is damaged")
    return data, at + CENTRAL.size + name_size
