"""Operators that the standard defines as functions of others: their bodies, as a model of that opset has them."""

from __future__ import annotations

from typing import Any

from .dtypes import CODES


def body(proto: Any, attributes: dict[str, Any], domain: str, opset: int, types: list[Any]) -> Any | None:
    """The FunctionProto of an operator; None if it is no function, or none for these types."""
    import onnx
    from onnx import defs

    try:
        schema: Any = defs.get_schema(proto.op_type, opset, domain)
    except defs.SchemaError:
        return None
    if schema.has_function:
        return schema.function_body
    if not schema.has_context_dependent_function:
        return None
    proto = resolved(proto, attributes)
    protos = [type_proto(x).SerializeToString() for x in types]
    for version in sorted(schema.context_dependent_function_opset_versions, reverse=True):
        if version > opset:
            continue
        found = schema.get_context_dependent_function_with_opset_version(version, proto.SerializeToString(), protos)
        if found:
            return onnx.FunctionProto.FromString(found)
    return None


def resolved(proto: Any, attributes: dict[str, Any]) -> Any:
    """The node with its attributes in the place of references to those of the function around it."""
    from onnx import NodeProto, helper

    if not any(a.ref_attr_name for a in proto.attribute):
        return proto
    copy = NodeProto.FromString(proto.SerializeToString())
    own = [a for a in copy.attribute if not a.ref_attr_name]
    named = [a.name for a in copy.attribute if a.ref_attr_name and a.name in attributes]
    del copy.attribute[:]
    copy.attribute.extend([*own, *(helper.make_attribute(name, attributes[name]) for name in named)])
    return copy


def defaults(proto: Any, domain: str, opset: int) -> dict[str, Any]:
    """The attributes of an operator that have defaults."""
    from onnx import defs

    from .at import value_of

    schema = defs.get_schema(proto.op_type, opset, domain)
    return {
        name: value_of(a.default_value, None) for name, a in schema.attributes.items() if a.default_value.type
    }


def type_proto(type: Any) -> Any:
    """The TypeProto of a type; empty for an input that is left out."""
    from onnx import helper

    if type is None or not hasattr(type, "dtype"):
        import onnx

        return onnx.TypeProto()
    shape = [str(n) if hasattr(n, "terms") else int(n) for n in type.shape]
    return helper.make_tensor_type_proto(CODES[type.dtype], shape)
