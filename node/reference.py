"""Pages of the docs that are written from the code: the settings. `crlm-node config reference` prints them."""

import json
import typing
from collections.abc import Iterator
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from node.core.settings import Settings

_HEAD = """# Settings

One TOML file: the first of `--config`, `$CRLM_NODE_CONFIG`, `/etc/crlm-node/config.toml`. Variables `CRLM_NODE_*` stand
above it, nested keys with two underscores (`CRLM_NODE_MEASUREMENT__PSOAS`). An unknown or missing key stops the start
with its name. This page is written by `crlm-node config reference`.
"""


def settings_page() -> str:
    """Return the settings as a Markdown page: a table of the top level, then one for each section."""
    return "\n".join([_HEAD, *_tables("", "", Settings)])


def _tables(title: str, path: str, model: type[BaseModel]) -> Iterator[str]:
    if title:
        yield f"## {title}\n"
    yield "| key | form | default | meaning |\n|---|---|---|---|"
    sections: list[tuple[str, str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        parts = _models(field.annotation)
        if parts:
            repeated = get_origin(field.annotation) is tuple
            inner = f"{path}{name}"
            sections += [(f"`[[{inner}]]`" if repeated else f"`[{inner}]`", f"{inner}.", part) for part in parts]
        yield f"| `{name}` | {_form(field.annotation)} | {_default(field)} | {field.description or ''} |"
    yield ""
    for heading, inside, part in sections:
        kind = part.model_fields.get("kind")
        yield from _tables(f"{heading} with kind {get_args(kind.annotation)[0]}" if kind else heading, inside, part)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the section models that an annotation is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _form(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if _models(annotation):
        return "tables" if origin is tuple else "table"
    if origin is Annotated:
        return _form(parts[0])
    if origin is typing.Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(f"`{part}`" for part in annotation)
    if origin is tuple:
        return f"list of {_form(parts[0])}"
    if origin in (typing.Union, UnionType):
        return _form(next(part for part in parts if part is not type(None)))
    names = {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true or false",
        "Path": "path",
        "IPvAnyAddress": "address",
    }
    return names.get(getattr(annotation, "__name__", ""), "table")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if field.default_factory is not None or field.default in (None, (), "", PydanticUndefined):
        return ""
    if isinstance(field.default, tuple):
        return f"`{json.dumps(field.default)}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
