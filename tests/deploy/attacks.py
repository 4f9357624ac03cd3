"""Files that must be refused: name -> (what is done to a good file, a pattern of the message)."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

from deploy.container import pack, unpack
from deploy.nd import MEMBERS


def with_json(member: str, change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    """The file with one JSON member changed, and hashes and checksums right again."""

    def attack(data: bytes) -> bytes:
        members = {name: bytes(x) for name, x in unpack(data, MEMBERS).items()}
        value = json.loads(members[member])
        changed = change(value)
        text = changed if isinstance(changed, bytes) else json.dumps(value if changed is None else changed).encode()
        return sealed({**members, member: text}, card=member != "card.json")

    return attack


def with_weights(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def attack(data: bytes) -> bytes:
        members = {name: bytes(x) for name, x in unpack(data, MEMBERS).items()}
        return sealed({**members, MEMBERS[2]: change(members[MEMBERS[2]])})

    return attack


def sealed(members: dict[str, bytes], card: bool = True) -> bytes:
    if card:
        value = json.loads(members["card.json"])
        value["sha256"] = {name: hashlib.sha256(members[name]).hexdigest() for name in MEMBERS[:-1]}
        members["card.json"] = json.dumps(value).encode()
    return pack(members)


def in_graph(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    return with_json("graph.json", change)


def in_card(change: Callable[[Any], Any]) -> Callable[[bytes], bytes]:
    return with_json("card.json", change)


def node(kind: str, **changes: Any) -> Callable[[Any], None]:
    return lambda record: record["nodes"][place(record, kind)].update(changes)


def place(record: Any, kind: str) -> int:
    return next(i for i, entry in enumerate(record["nodes"]) if entry["op"] == kind)


def attribute(kind: str, **changes: Any) -> Callable[[Any], None]:
    return lambda record: record["nodes"][place(record, kind)]["attributes"].update(changes)


def patched(offset: Callable[[bytes], int], value: bytes) -> Callable[[bytes], bytes]:
    """The file with some bytes overwritten."""

    def attack(data: bytes) -> bytes:
        at = offset(data)
        return data[:at] + value + data[at + len(value) :]

    return attack


def central(index: int, field: int) -> Callable[[bytes], int]:
    """Where a field of a directory entry is."""

    def find(data: bytes) -> int:
        at = struct.unpack_from("<I", data, len(data) - 6)[0]
        for name in MEMBERS[:index]:
            at += 46 + len(name)
        return at + field

    return find


def rezipped(**options: Any) -> Callable[[bytes], bytes]:
    def attack(data: bytes) -> bytes:
        out = BytesIO()
        with zipfile.ZipFile(BytesIO(data)) as old, zipfile.ZipFile(out, "w", **options) as new:
            for name in MEMBERS:
                new.writestr(name, old.read(name))
        return out.getvalue()

    return attack


def deep(record: Any) -> bytes:
    return b'{"format":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def huge_header(weights: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + weights[8:]


def huge_tensor(weights: bytes) -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    return struct.pack("<Q", len(header)) + header


def repeat(record: Any) -> bytes:
    text = json.dumps(record)
    return text.replace('"version"', '"version": 1, "version"', 1).encode()


def split(record: Any) -> None:
    """Two billion parts, each of which would be a type in memory."""
    record["inputs"][0]["shape"] = [2**31]
    place = len(record["nodes"])
    record["nodes"].append({"op": "Split", "inputs": [0], "attributes": {"axis": 0}})
    record["nodes"].append({"op": "TupleGetItem", "inputs": [place], "attributes": {"index": 0}})
    record["nodes"][1:place] = []
    record["nodes"][2]["inputs"] = [1]
    record["outputs"][0]["node"] = 2


BATCH: dict[str, Any] = {"dim": "batch"}
CONSTANT = {"op": "Constant", "array": "c0"}
TIME, NONE = {"dim": "time"}, {"sum": [[0, BATCH]]}
ONCE, OLD, HALF = {"sum": [[1, BATCH]]}, {"dim": "batch", "scale": 1}, {"floor": [BATCH, 0]}
DEEP: Any = BATCH
for _ in range(20):
    DEEP = {"floor": [DEEP, 2]}
LONG: Any = {"sum": [[k, *[BATCH] * k] for k in range(1, 9)]}
COINCIDENCE = {"sum": [[-1, BATCH, BATCH], [18, BATCH], [-70]]}  # 7 where the batch is 7, and where it is 11
DIM = {"name": "batch", "low": 1, "high": None}

ATTACKS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "too few"),
    "not a zip": (lambda data: b"PK\3\4" + bytes(100), "end of file"),
    "truncated": (lambda data: data[:-1], "end of file"),
    "cut in half": (lambda data: data[: len(data) // 2], "end of file"),
    "bytes behind the end": (lambda data: data + b"\0", "end of file"),
    "bytes before the start": (lambda data: b"\0" + data, "end of file|directory"),
    "a zip comment": (patched(lambda data: len(data) - 2, b"\1\0"), "end of file"),
    "more members": (patched(lambda data: len(data) - 12, b"\5\0"), "members"),
    "compressed": (rezipped(compression=zipfile.ZIP_DEFLATED), "stored"),
    "not aligned": (rezipped(), "aligned|differ"),
    "method says deflated": (patched(central(2, 10), b"\10\0"), "weights.safetensors: must be stored"),
    "encrypted": (patched(central(0, 8), b"\1\0"), "graph.json: must be stored"),
    "another name": (patched(central(0, 46), b"evil"), "graph.json: the member in its place"),
    "overlapping members": (patched(central(2, 42), b"\0\0\0\0"), "weights.safetensors"),
    "an offset behind the end": (patched(central(3, 42), b"\0\0\0\x7f"), "card.json: starts at"),
    "a size behind the end": (patched(central(2, 20), b"\xf0\xff\xff\x7f\xf0\xff\xff\x7f"), "reach behind"),
    "a wrong checksum": (patched(central(0, 16), b"\0\0\0\0"), "graph.json: the checksum"),
    "a flipped weight": (lambda data: flip_in(data, 2), "checksum"),
    "an unknown format": (in_graph(lambda r: r.update(format="onnx")), "format"),
    "an unknown version": (in_graph(lambda r: r.update(version=3)), "version"),
    "a boolean version": (in_graph(lambda r: r.update(version=True)), "version"),
    "an unknown field": (in_graph(lambda r: r.update(more=1)), "exactly the fields"),
    "a field less": (in_graph(lambda r: r.pop("dims") and None), "exactly the fields"),
    "a field twice": (in_graph(repeat), "twice"),
    "NaN": (in_graph(lambda r: b'{"format": NaN}'), "NaN"),
    "infinity": (in_card(lambda r: b'{"model": -Infinity}'), "Infinity"),
    "not JSON": (in_graph(lambda r: b"import os"), "not JSON"),
    "not text": (in_graph(lambda r: b"\xff\xfe"), "not JSON"),
    "an integer of a million digits": (in_graph(lambda r: b'{"format":' + b"9" * 10**6 + b"}"), "not JSON"),
    "not an object": (in_graph(lambda r: [1]), "object"),
    "deep nesting": (in_graph(deep), "graph.json"),
    "an unknown op": (in_graph(node("ReLU", op="System")), "unknown op 'System'"),
    "an op that is no string": (in_graph(node("ReLU", op=["ReLU"])), "unknown op"),
    "an attribute more": (in_graph(attribute("ReLU", path="/etc/passwd")), "attributes"),
    "an attribute of the wrong type": (in_graph(attribute("Reshape", shape="x")), "Reshape|shape"),
    "a stride of zero": (in_graph(attribute("Conv", stride=0)), "stride"),
    "a fractional stride": (in_graph(attribute("Conv", stride=1.5)), "stride"),
    "a stride of true": (in_graph(attribute("Conv", stride=True)), "stride"),
    "a negative padding": (in_graph(attribute("Conv", padding=-1)), "padding"),
    "a huge padding": (in_graph(attribute("Conv", padding=2**40)), "elements"),
    "an integer that is too large": (in_graph(attribute("Conv", padding=2**60)), "too large"),
    "a permutation of too many axes": (in_graph(attribute("Permute", axes=[0, 1, 2, 3, 4])), "permute|axis"),
    "an axis twice": (in_graph(attribute("Permute", axes=[0, 1, 1, 2])), "permute"),
    "a huge shape": (in_graph(attribute("BroadcastTo", shape=[2**50, 4, 4, 8])), "elements|type|shapes"),
    "billions of parts": (in_graph(split), "parts"),
    "a list of many": (in_graph(attribute("BroadcastTo", shape=[1] * 100_001)), "at most 100000"),
    "a shape of many axes": (in_graph(attribute("BroadcastTo", shape=[1] * 99 + [8])), "at most 8 axes"),
    "a node of many inputs": (in_graph(node("ReLU", inputs=[0] * 5000)), "at most 4096"),
    "a size of many terms": (in_graph(attribute("Reshape", shape=[{"sum": [[1, BATCH]] * 100}, 16])), "unknown size"),
    "many outputs": (in_graph(lambda r: r.update(outputs=r["outputs"] * 2000)), "at most 1024"),
    "an unknown dim": (in_graph(attribute("Reshape", shape=[TIME, 16])), "unknown size"),
    "a size in another form": (in_graph(attribute("Reshape", shape=[ONCE, 16])), "not written as this format"),
    "a size of version 1": (in_graph(attribute("Reshape", shape=[OLD, 16])), "unknown size"),
    "a quotient by zero": (in_graph(attribute("Reshape", shape=[HALF, 16])), "unknown size"),
    "a deep size": (in_graph(attribute("Reshape", shape=[DEEP, 16])), "unknown size"),
    "a product of long sums": (in_graph(attribute("Reshape", shape=[{"sum": [[1, *[LONG] * 8]]}])), "as a factor"),
    "shapes of long sums": (in_graph(attribute("Reshape", shape=[LONG] * 8)), "longer than|factors"),
    "a size that is another by coincidence": (
        in_graph(attribute("Reshape", shape=[COINCIDENCE, 16])), "cannot be seen as|size of 1"),
    "a size that may be negative": (
        in_graph(attribute("BroadcastTo", shape=[{"sum": [[1, BATCH], [-5]]}, 4, 4, 8])), "does not broadcast|size"),
    "a state of no input": (in_graph(lambda r: r.update(state=[["nobody", r["outputs"][0]["name"]]])), "state"),
    "a state of another type": (
        in_graph(lambda r: r.update(state=[[r["inputs"][0]["name"], r["outputs"][0]["name"]]])), "state"),
    "a state that is no pair": (in_graph(lambda r: r.update(state=[["x"]])), "pairs"),
    "a state that is no list": (in_graph(lambda r: r.update(state={"a": "b"})), "list"),
    "a dim twice": (in_graph(lambda r: r.update(dims=[DIM, DIM])), "distinct identifiers"),
    "a dim of no bounds": (in_graph(lambda r: r.update(dims=[{**DIM, "low": 3, "high": 2}])), "1 <= low <= high"),
    "a dim of low 0": (in_graph(lambda r: r.update(dims=[{**DIM, "low": 0}])), "1 <= low <= high"),
    "a dim that no input has": (in_graph(lambda r: r.update(dims=[DIM, {**DIM, "name": "b"}])), "not written"),
    "a size of no terms": (in_graph(attribute("Reshape", shape=[NONE, 16])), "product"),
    "the stand-in for the batch": (in_graph(attribute("Reshape", shape=[7, 16])), "node"),
    "a node of the future": (in_graph(node("ReLU", inputs=[10**6])), "before it"),
    "itself as input": (in_graph(lambda r: node("ReLU", inputs=[place(r, "ReLU")])(r)), "before it"),
    "a negative index": (in_graph(node("ReLU", inputs=[-1])), "before it"),
    "too few inputs": (in_graph(node("Conv", inputs=[])), "Conv"),
    "too many inputs": (in_graph(node("ReLU", inputs=[0, 0])), "ReLU"),
    "no outputs": (in_graph(lambda r: r.update(outputs=[])), "output"),
    "an output that is not there": (in_graph(lambda r: r["outputs"][0].update(node=10**9)), "output"),
    "an output twice": (in_graph(lambda r: r["outputs"].append(r["outputs"][0])), "twice"),
    "an output with a path for a name": (in_graph(lambda r: r["outputs"][0].update(name="../x")), "identifier"),
    "an input of negative size": (in_graph(lambda r: r["inputs"][0].update(shape=[-1, 3])), "axes|size|node"),
    "an input of another dtype": (in_graph(lambda r: r["inputs"][0].update(dtype="object")), "float32"),
    "an input that is not used": (in_graph(lambda r: r["inputs"].append(dict(r["inputs"][0], name="b"))), "uses"),
    "a weight that is not there": (in_graph(node("Weight", name="../x")), "unknown"),
    "a weight of another shape": (in_graph(node("Weight", shape=[1])), "not as the node says"),
    "a weight of another dtype": (in_graph(node("Weight", dtype="int64")), "not as the node says"),
    "a weight twice": (in_graph(lambda r: r["nodes"].append(r["nodes"][place(r, "Weight")])), "already used"),
    "a constant that is not there": (in_graph(lambda r: r["nodes"].append(CONSTANT)), "unknown"),
    "an old version with new members": (in_graph(lambda r: r.update(version=1)), "version"),
    "unused nodes": (in_graph(lambda r: r["nodes"].append({**r["nodes"][-1]})), "unused"),
    "a weight that is not used": (in_graph(lambda r: r["nodes"].pop(place(r, "Weight")) and None), "node"),
    "another graph's weights": (with_weights(lambda w: w[:-4] + b"\1\2\3\4" + b"\0\0\0\0"), "weights.safetensors"),
    "a huge weights header": (with_weights(huge_header), "weights.safetensors"),
    "a huge tensor": (with_weights(huge_tensor), "weights.safetensors"),
    "no weights": (with_weights(lambda w: b""), "weights.safetensors"),
    "a wrong hash": (in_card(lambda r: r["sha256"].update({"graph.json": "0" * 64})), "sha256"),
    "hashes that are no object": (in_card(lambda r: r.update(sha256=1)), "sha256"),
    "a card with other inputs": (in_card(lambda r: r.update(inputs=[])), "inputs differ"),
    "a card with other outputs": (in_card(lambda r: r.update(outputs=[])), "outputs differ"),
    "labels that are numbers": (in_card(lambda r: r["model"].update(labels=[1])), "labels"),
    "an image of no size": (in_card(lambda r: r["model"]["input"].update(height=0)), "height"),
    "a mean for each of two channels": (in_card(lambda r: r["model"]["input"].update(mean=[0, 0])), "means"),
    "a mean that is text": (in_card(lambda r: r["model"]["input"].update(mean="abc")), "means"),
    "a mean that is a number": (in_card(lambda r: r["model"]["input"].update(mean=3)), "means|input"),
}  # fmt: skip


def flip_in(data: bytes, member: int) -> bytes:
    members = unpack(data, MEMBERS)
    at = data.index(bytes(members[MEMBERS[member]])) + len(members[MEMBERS[member]]) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
