"""The `.nd` file: a graph, its weights and its card in one zip. Data only: nothing in it can execute.

    graph.json             {"format": "nd", "version": 2, "dims", "inputs", "nodes", "outputs", "state"}; a node names
                           its op, its inputs (indices of earlier nodes) and its attributes, types follow by its rule
    constants.safetensors  the constants, which belong to the structure
    weights.safetensors    the weights, by their names in the model
    card.json              {"model", "inputs", "outputs", "provenance", "sha256"}

The first two are the structure, whose hash is `structure(graph)`: models that differ in weights alone share it. The
reader refuses everything that the writer would not write, and names the place. It also takes version 1, which had
constants among the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from needle import ops
from needle.errors import DataError, NeedleError
from needle.explain import fits
from needle.sizes import Size, for_every_size, plain, watched
from needle.types import DTYPES, Type
from needle.weights import atomic_write, dump_safetensors, parse_safetensors

from . import attributes
from .card import check_card
from .container import count, pack, unpack
from .errors import GraphError, NdFormatError
from .ir import Constant, Graph, Input, Node, Weight, apply, constant, describe, dims, weight
from .registry import OPS
from .sizes import stand_ins
from .strict import earlier, fields, items, parse, refuse
from .verify import MAX_RANK, STORED, check_type, verify

VERSION = 2
HELD = (*DTYPES, *(x for x in STORED if not x.startswith(("object", "complex"))))  # of inputs
MEMBERS = ("graph.json", "constants.safetensors", "weights.safetensors", "card.json")
MEMBERS_1 = ("graph.json", "weights.safetensors", "card.json")
MAX_NODES, MAX_PORTS, MAX_DIMS = 100_000, 1024, 64
MAX_INPUTS = MAX_PARTS = 4096  # of one node: of a tuple that is joined, or taken apart


def save(graph: Graph, path: str | PathLike[str]) -> None:
    """Write the graph to `path`, whole or not at all. Raises GraphError or NdFormatError if it cannot be written."""
    data = dumps(graph)
    with atomic_write(path) as file:
        file.write(data)


def dumps(graph: Graph) -> bytes:
    """The bytes of the `.nd` file; equal graphs give equal bytes. NdFormatError for what `loads` would refuse."""
    verify(graph)
    for x in graph.inputs:
        if x.type.dtype not in HELD:
            raise NdFormatError(f"[nd] input '{x.op.name}' is {describe(x.type)}; files hold {', '.join(HELD)}")
    record, constants, weights = _encode(graph)
    text = _json(record)
    with watched(for_every_size):
        _decode(parse("graph.json", text), constants, weights, {})  # the reader's own checks: they cannot differ
    members = {
        "graph.json": text,
        "constants.safetensors": dump_safetensors(constants),
        "weights.safetensors": dump_safetensors(weights),
    }
    card = {
        "model": dict(graph.card),
        "inputs": [_interface(x.op.name, x.type) for x in graph.inputs],
        "outputs": [_interface(name, x.type) for name, x in graph.outputs],
        "provenance": {"writer": "needle-deploy", "version": VERSION},
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
    }
    members["card.json"] = _json(card)
    check_card(parse("card.json", members["card.json"])["model"])
    return pack(members)


def structure(graph: Graph) -> str:
    """The hash of everything about a graph but its weights' values and its card: 32 hexadecimal digits."""
    record, constants, _ = _encode(graph)
    return hashlib.sha256(_json(record) + dump_safetensors(constants)).hexdigest()[:32]


def load(path: str | PathLike[str]) -> Graph:
    """The graph in the file at `path`. Raises NdFormatError naming the place, or OSError if it cannot be read."""
    return loads(Path(path).read_bytes())


def loads(data: bytes) -> Graph:
    """The graph in the bytes of a `.nd` file. Raises NdFormatError naming the place."""
    names = MEMBERS_1 if count(data) == len(MEMBERS_1) else MEMBERS
    members = unpack(data, names)
    card = parse("card.json", members["card.json"])
    fields("card.json", card, {"model", "inputs", "outputs", "provenance", "sha256"})
    for name in names[:-1]:
        if (
            not isinstance(card["sha256"], dict)
            or card["sha256"].get(name) != hashlib.sha256(members[name]).hexdigest()
        ):
            refuse(f"card.json: sha256 of {name} does not match")
    model = check_card(card["model"])
    record = parse("graph.json", members["graph.json"])
    try:
        arrays = {name: parse_safetensors(members[name], f"nd {name}")[0] for name in names[1:-1]}
    except DataError as error:
        raise NdFormatError(str(error)) from error
    weights, constants = arrays["weights.safetensors"], arrays.get("constants.safetensors", {})
    if names is MEMBERS_1:
        record, card = _upgraded_sizes(record), {**card, **{x: _upgraded_sizes(card[x]) for x in ("inputs", "outputs")}}
        _upgrade(record, constants, weights)
    with watched(for_every_size):
        graph = _decode(record, constants, weights, model)
    if [_interface(x.op.name, x.type) for x in graph.inputs] != card["inputs"]:
        refuse("card.json: its inputs differ from those of graph.json")
    if [_interface(name, x.type) for name, x in graph.outputs] != card["outputs"]:
        refuse("card.json: its outputs differ from those of graph.json")
    return graph


def _json(value: Any) -> bytes:
    """Canonical JSON."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
    except (TypeError, ValueError) as error:
        raise NdFormatError(f"[nd] the card must be plain finite data: {error}") from error


def _interface(name: str, type: Type) -> dict[str, Any]:
    return {"name": name, "dtype": type.dtype, "shape": attributes.encode(type.shape)}


def _encode(graph: Graph) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(graph.json, constants by name, weights by name)."""
    index: dict[Node, int] = {}
    nodes: list[dict[str, Any]] = []
    constants: dict[str, Any] = {}
    weights: dict[str, Any] = {}
    for node in [*graph.inputs, *(x for x in graph.order() if x not in graph.inputs)]:
        index[node] = len(nodes)
        match node.op:
            case Input(name):
                entry: dict[str, Any] = {"op": "Input", "name": name}
            case Constant(array):
                entry = {"op": "Constant", "array": f"c{len(constants)}"}
                constants[entry["array"]] = array
            case Weight(array, name):
                weights[name] = array
                entry = {"op": "Weight", **_interface(name, node.type)}
            case op:
                inputs = [index[x] for x in node.inputs]
                entry = {"op": type(op).__name__, "inputs": inputs, "attributes": attributes.encode_op(op)}
        nodes.append(entry)
    return (
        {
            "format": "nd",
            "version": VERSION,
            "dims": [{"name": name, "low": x.low, "high": x.high} for name, x in dims(graph).items()],
            "inputs": [_interface(x.op.name, x.type) for x in graph.inputs],
            "nodes": nodes,
            "outputs": [{"name": name, "node": index[node]} for name, node in graph.outputs],
            "state": [list(pair) for pair in graph.state],
        },
        constants,
        weights,
    )


def _upgrade(record: Any, constants: dict[str, Any], weights: dict[str, Any]) -> None:
    """A record of version 1 as one of version 2, in place: constants without a name of the model leave the weights."""
    if not isinstance(record.get("nodes"), list) or record.get("version") != 1 or isinstance(record["version"], bool):
        refuse(f"graph.json: a file of three members has version 1, got {record.get('version')!r}")
    for i, entry in enumerate(record["nodes"]):
        if isinstance(entry, dict) and entry.get("op") == "Constant":
            where = f"graph.json node {i}"
            fields(where, entry, {"op", "weight"})
            key, name = entry["weight"], f"c{len(constants)}"
            if isinstance(key, str) and re.fullmatch(r"constant(_\d+)*", key):
                constants[name] = _take(where, weights, key)
                record["nodes"][i] = {"op": "Constant", "array": name}
            elif isinstance(key, str) and key in weights:
                array = weights[key]
                record["nodes"][i] = {"op": "Weight", **_interface(key, Type(array.shape, str(array.dtype)))}
            else:
                refuse(f"{where}: unknown weight {key!r}")
    if isinstance(record.get("dims"), list):
        record["dims"] = [{"name": name, "low": 1, "high": None} for name in record["dims"]]
    record |= {"version": VERSION, "state": []}


def _upgraded_sizes(value: Any) -> Any:
    """{"dim": name, "scale": n} of version 1, anywhere in plain data, as version 2 writes it."""
    match value:
        case {"dim": name, "scale": int(n)} if len(value) == 2:
            return {"dim": name} if n == 1 else {"sum": [[n, {"dim": name}]]}
        case dict():
            return {key: _upgraded_sizes(x) for key, x in value.items()}
        case list():
            return [_upgraded_sizes(x) for x in value]
    return value


def _decode(
    record: Any, constants: Mapping[str, Any], weights: Mapping[str, Any], card: dict[str, Any]
) -> Graph:
    """The graph, whose rules must hold for every value of the named dims."""
    fields("graph.json", record, {"format", "version", "dims", "inputs", "nodes", "outputs", "state"})
    if record["format"] != "nd" or record["version"] != VERSION or isinstance(record["version"], bool):
        refuse(f"graph.json: needs format 'nd' version {VERSION}, got {record['format']!r} {record['version']!r}")
    sizes = stand_ins(_dims(items("graph.json dims", record["dims"], MAX_DIMS)), 0)
    types = _input_types(items("graph.json inputs", record["inputs"], MAX_PORTS), sizes)
    entries = items("graph.json nodes", record["nodes"], MAX_NODES)
    nodes: list[Node] = []
    unused = dict(constants), dict(weights)
    for entry in entries:
        nodes.append(_node(f"graph.json node {len(nodes)}", entry, nodes, types, unused, sizes))
    if types or any(unused):
        refuse(f"graph.json: no node uses {sorted([*types, *unused[0], *unused[1]])[:5]}")
    outputs = []
    for entry in items("graph.json outputs", record["outputs"], MAX_PORTS):
        fields("graph.json output", entry, {"name", "node"})
        outputs.append((entry["name"], nodes[earlier("graph.json output", entry["node"], len(nodes))]))
    state = tuple(map(_state, items("graph.json state", record["state"], MAX_PORTS)))
    graph = Graph(tuple(x for x in nodes if isinstance(x.op, Input)), tuple(outputs), card, state)
    try:
        verify(graph)
    except GraphError as error:
        raise NdFormatError(f"[nd] graph.json: {error}") from error
    if record != _encode(graph)[0]:
        refuse("graph.json: its nodes are unused, out of order, or not written as this format writes them")
    return graph


def _state(pair: Any) -> tuple[str, str]:
    """[input, output]."""
    match pair:
        case [str(before), str(after)]:
            return before, after
    refuse(f"graph.json state: needs pairs of an input and an output, got {pair!r:.100}")


def _dims(entries: list[Any]) -> dict[str, tuple[int, int | None]]:
    """The named dims and their bounds."""
    found: dict[str, tuple[int, int | None]] = {}
    for entry in entries:
        fields("graph.json dims", entry, {"name", "low", "high"})
        name, low, high = entry["name"], entry["low"], entry["high"]
        if not isinstance(name, str) or not name.isidentifier() or name in found:
            refuse(f"graph.json dims: needs distinct identifiers, got {name!r}")
        if not fits(low, int) or not fits(high, int | None) or not 1 <= low <= (high or low) <= attributes.MAX_INT:
            refuse(f"graph.json dims: needs bounds 1 <= low <= high, got {low!r}, {high!r}")
        found[name] = (low, high)
    return found


def _input_types(entries: list[Any], sizes: Mapping[str, Size]) -> dict[str, Type]:
    types: dict[str, Type] = {}
    for entry in entries:
        fields("graph.json input", entry, {"name", "dtype", "shape"})
        where = f"[nd] graph.json input {entry['name']!r}"
        shape = attributes.decode(items(where, entry["shape"], MAX_RANK), sizes, where)
        if not fits(shape, tuple[int, ...]) or entry["dtype"] not in HELD or not isinstance(entry["name"], str):
            raise NdFormatError(f"{where}: needs a name, a shape of integers and one of {HELD}, got {entry!r}")
        types[entry["name"]] = Type(shape, entry["dtype"])
    return types


Arrays = tuple[dict[str, Any], dict[str, Any]]  # constants, weights


def _node(
    where: str, entry: Any, nodes: list[Node], types: dict[str, Type], arrays: Arrays, sizes: Mapping[str, Size]
) -> Node:
    """One node; inputs, constants and weights are taken out of `types` and `arrays`, since each belongs to one node."""
    kind = entry.get("op") if isinstance(entry, dict) else None
    if kind == "Input":
        fields(where, entry, {"op", "name"})
        return Node(Input(entry["name"]), (), _take(where, types, entry["name"]))
    if kind == "Constant":
        fields(where, entry, {"op", "array"})
        return constant(_take(where, arrays[0], entry["array"]))
    if kind == "Weight":
        fields(where, entry, {"op", "name", "dtype", "shape"})
        node = weight(_take(where, arrays[1], entry["name"]), entry["name"])
        if _interface(entry["name"], node.type) != {key: entry[key] for key in ("name", "dtype", "shape")}:
            refuse(f"{where}: the weight '{entry['name']}' is {describe(node.type)}, not as the node says")
        return node
    fields(where, entry, {"op", "inputs", "attributes"})
    if not isinstance(kind, str) or kind not in OPS:
        refuse(f"{where}: unknown op {kind!r}")
    op = attributes.decode_op(OPS[kind], entry["attributes"], sizes, f"[nd] {where}")
    inputs = [nodes[earlier(where, x, len(nodes))] for x in items(where, entry["inputs"], MAX_INPUTS)]
    widest = max((plain(size) for x in inputs if isinstance(x.type, Type) for size in x.shape), default=0)
    if isinstance(op, ops.Split) and widest > MAX_PARTS:
        refuse(f"{where}: splits into more than {MAX_PARTS} parts")  # its rule would make them all
    try:
        node = apply(op, *inputs)
        check_type(node)
        return node
    except NeedleError as error:
        raise NdFormatError(f"[nd] {where}: {error!s:.500}") from error
    except Exception as error:  # rules are written for what Python code builds, not for hostile attributes
        raise NdFormatError(f"[nd] {where}: {kind} cannot take these inputs and attributes: {error!s:.200}") from error


def _take(where: str, table: dict[str, Any], name: Any) -> Any:
    if not isinstance(name, str) or name not in table:
        refuse(f"{where}: unknown or already used name {name!r}")
    return table.pop(name)
