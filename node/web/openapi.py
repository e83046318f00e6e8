"""The OpenAPI document of the API, made from its doors and the shapes of its answers.

Goes out: a document of OpenAPI 3.1, at /api/openapi.json; it says nothing of the site, so nobody has to sign in.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from node import __version__
from node.web.api import DOORS, Door
from node.web.shapes import Fault, Token

_FAULTS = {
    "400": "What was sent cannot be followed.",
    "401": "Nobody is signed in.",
    "403": "The role may not, or the token against forged requests is missing.",
    "404": "There is no such thing.",
    "409": "The order does not fit what is there.",
    "503": "Something that the node stands on is away.",
}


def show(request: Request) -> Response:
    """Answer with the document."""
    del request
    return JSONResponse(document())


@cache
def document() -> Mapping[str, Any]:
    """Return the document."""
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {"/api/session": {"post": _session(schemas)}}
    for door in DOORS:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crlm-node",
            "version": __version__,
            "description": "What the page shows and orders. Research use. Answers hold patient data.",
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The token of POST /api/session."}
            },
        },
    }


def _operation(door: Door, schemas: dict[str, Any]) -> Mapping[str, Any]:
    parameters = [_parameter("path", name, "", required=True) for name in re.findall(r"{(\w+)}", door.path)]
    parameters += [_parameter("query", name, about, required=False) for name, about in door.asked.items()]
    made: dict[str, Any] = {
        "summary": door.about,
        "description": f"For the role {door.role} and those above it.",
        "operationId": "_".join(re.findall(r"\w+", f"{door.method.lower()} {door.path.removeprefix('/api')}")),
        "parameters": parameters,
        "responses": {"200": _response("Done.", door.answer, schemas), **_faults(schemas)},
        "security": [{"bearer": []}],
    }
    if door.sent:
        made["requestBody"] = _body(door.sent)
    return made


def _session(schemas: dict[str, Any]) -> Mapping[str, Any]:
    return {
        "summary": "Sign a program in",
        "operationId": "post_session",
        "requestBody": _body({"name": "Name of the account.", "password": "Its password."}),
        "responses": {
            "201": _response("Signed in.", Token, schemas),
            "401": _response("Name and password do not fit.", Fault, schemas),
            "429": _response("Too many attempts: see Retry-After.", Fault, schemas),
        },
        "security": [],
    }


def _faults(schemas: dict[str, Any]) -> Mapping[str, Any]:
    return {status: _response(about, Fault, schemas) for status, about in _FAULTS.items()}


def _response(about: str, shape: type[Any], schemas: dict[str, Any]) -> Mapping[str, Any]:
    schema = TypeAdapter(shape).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas |= schema.pop("$defs", {})
    if "title" in schema and "properties" in schema:
        schemas[schema["title"]] = schema
        schema = {"$ref": f"#/components/schemas/{schema['title']}"}
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _body(sent: Mapping[str, str]) -> Mapping[str, Any]:
    properties = {
        name: {"type": ["string", "number", "boolean", "null"], "description": about} for name, about in sent.items()
    }
    return {"content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}


def _parameter(place: str, name: str, about: str, *, required: bool) -> Mapping[str, Any]:
    return {"in": place, "name": name, "required": required, "description": about, "schema": {"type": "string"}}
