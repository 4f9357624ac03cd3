"""The safetensors format: round trips, interoperability, and a table of malformed files that must all be refused."""

import json
import os
import stat

import numpy as np
import pytest

from needle.errors import DataError
from needle.weights import atomic_write, dump_safetensors, load_safetensors, parse_safetensors, save_safetensors

ARRAYS = {
    "weight": np.arange(6, dtype="float32").reshape(2, 3),
    "empty": np.zeros((0, 4), dtype="float64"),
    "scalar": np.array(7, dtype="int64"),
    "mask": np.array([True, False]),
}


def file_of(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_round_trip_keeps_bits_shapes_and_metadata() -> None:
    arrays, metadata = parse_safetensors(dump_safetensors(ARRAYS, {"format": "needle"}))
    assert metadata == {"format": "needle"}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].shape == array.shape
        np.testing.assert_array_equal(arrays[name], array)


def test_elements_start_on_a_cache_line() -> None:
    data = dump_safetensors(ARRAYS)
    assert (8 + int.from_bytes(data[:8], "little")) % 64 == 0


def test_the_reference_implementation_reads_and_writes_the_same() -> None:
    reference = pytest.importorskip("safetensors.numpy")
    read = reference.load(dump_safetensors(ARRAYS))
    ours, _ = parse_safetensors(reference.save(ARRAYS))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        np.testing.assert_array_equal(ours[name], array)


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (b"", "at least 8 bytes"),
        (file_of({}, length=1 << 40), "claims"),
        (file_of(b"\xff\xfe"), "not JSON"),
        (file_of(b"[" * 100_000), "not JSON"),
        (file_of(b"[]"), "JSON object"),
        (file_of(b'{"a":1,"a":2}'), "twice"),
        (file_of({"__metadata__": {"a": 1}}), "strings"),
        (file_of({"a": 3}), "exactly dtype"),
        (file_of({"a": entry() | {"code": "x"}}, b"\0" * 4), "exactly dtype"),
        (file_of({"a": entry(dtype="O")}, b"\0" * 4), "unknown dtype"),
        (file_of({"a": entry(dtype=["F32"])}, b"\0" * 4), "unknown dtype"),
        (file_of({"a": entry(shape=[-1])}, b"\0" * 4), "malformed"),
        (file_of({"a": entry(shape=[1.0])}, b"\0" * 4), "malformed"),
        (file_of({"a": entry(shape=[True])}, b"\0" * 4), "malformed"),
        (file_of({"a": entry(shape=[1] * 33)}, b"\0" * 4), "malformed"),
        (file_of({"a": entry(offsets=[0])}, b"\0" * 4), "malformed"),
        (file_of({"a": entry(shape=[2**62, 2**62])}, b"\0" * 4), "needs"),
        (file_of({"a": entry(offsets=[4, 0])}, b"\0" * 4), "needs"),
        (file_of({"a": entry(offsets=[4, 8])}, b"\0" * 8), "gap or overlap"),
        (file_of({"a": entry(), "b": entry()}, b"\0" * 4), "gap or overlap"),
        (file_of({"a": entry()}, b"\0" * 3), "the file has 3"),
        (file_of({"a": entry()}, b"\0" * 5), "the file has 5"),
    ],
)
def test_malformed_files_are_refused(attack: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_safetensors(attack)


def test_every_truncation_is_refused() -> None:
    data = dump_safetensors(ARRAYS)
    for length in range(len(data)):
        with pytest.raises(DataError):
            parse_safetensors(data[:length])


def test_a_changed_file_is_refused_by_its_hash(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    sha256 = save_safetensors(path, ARRAYS)
    assert set(load_safetensors(path, sha256)) == set(ARRAYS)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="sha256"):
        load_safetensors(path, sha256)


def test_unsupported_dtypes_are_named() -> None:
    with pytest.raises(DataError, match="complex128"):
        dump_safetensors({"z": np.zeros(1, dtype=complex)})


def test_what_is_durable_is_written_to_the_disk_and_then_its_name(tmp_path, monkeypatch) -> None:
    synced = []

    def fsync(handle: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        assert (synced[-1] == "folder") == (tmp_path / "w").exists()

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "w") as file:
        file.write(b"1")
    assert synced == ["file", "folder"]
    with atomic_write(tmp_path / "w", durable=False) as file:
        file.write(b"2")
    assert synced == ["file", "folder"] and (tmp_path / "w").read_bytes() == b"2"


def test_a_failed_write_leaves_the_old_file(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(path, ARRAYS)
    before = path.read_bytes()
    with pytest.raises(DataError):
        save_safetensors(path, {"z": np.zeros(1, dtype=complex)})
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]
