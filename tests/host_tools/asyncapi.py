"""docs/asyncapi.json, and whether a message is as it says. The JSON Schema that the document uses, and no more."""

import json
import re
from pathlib import Path
from typing import Any

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "asyncapi.json").read_text())
_KEYWORDS = {"$ref", "additionalProperties", "const", "enum", "maxLength", "maximum", "minimum", "oneOf", "pattern", "properties", "required", "type"}
_TYPES = {"object": dict, "string": str, "integer": int, "null": type(None)}


def why_not(channel: str, message: dict[str, Any]) -> str:
    """Return what is wrong with a message on a channel, `up` or `down`; nothing where nothing is."""
    kinds = DOCUMENT["channels"][channel]["messages"]
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        return f"no type {kind!r}"
    return _why_not(_follow(kinds[kind])["payload"], message, kind)


def _follow(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        place: Any = DOCUMENT
        for name in schema["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        schema = place
    return schema


def _why_not(schema: dict[str, Any], value: Any, name: str) -> str:
    assert schema.keys() <= _KEYWORDS, "the document uses what this does not check"
    schema = _follow(schema)
    if "oneOf" in schema:
        wrong = [_why_not(choice, value, name) for choice in schema["oneOf"]]
        return "" if wrong.count("") == 1 else f"{name}: {wrong}"
    if "const" in schema and (value != schema["const"] or type(value) is not type(schema["const"])):
        return f"{name} is {value!r}, not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{name} is {value!r}, not one of {schema['enum']}"
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or isinstance(value, bool)):
        return f"{name} is {value!r}, no {kind}"
    if not schema.get("minimum", value) <= value <= schema.get("maximum", value) if kind == "integer" else False:
        return f"{name} is {value}, out of range"
    if kind == "string" and (len(value) > schema.get("maxLength", len(value)) or not re.search(schema.get("pattern", "").replace("$", r"\Z"), value)):
        return f"{name} is {value!r}, too long or not {schema.get('pattern')}"
    if kind == "object":
        return _why_not_object(schema, value, name)
    return ""


def _why_not_object(schema: dict[str, Any], value: dict[str, Any], name: str) -> str:
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(schema["properties"])
    if value.keys() != schema["properties"].keys():
        return f"{name} has {sorted(value)}, not {schema['required']}"
    return next(filter(None, (_why_not(member, value[key], f"{name}.{key}") for key, member in schema["properties"].items())), "")
