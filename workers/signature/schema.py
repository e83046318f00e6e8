"""The JSON Schema of a manifest, docs/signature.schema.json, made from the code.

Comes in: nothing. Goes out: the schema as text, which `python -m workers.signature.schema` prints. Next: whoever writes
or reads a manifest with another program.
"""

import json
import sys

from workers.signature.folder import DIGEST
from workers.signature.manifest import Signature


def text() -> str:
    """Return the schema of models/signatures/ID/manifest.json (draft 2020-12)."""
    schema = Signature.model_json_schema(mode="serialization")
    schema["properties"][DIGEST] = {
        "description": "SHA-256 of all else as JSON: sorted keys, no spaces, ASCII, numbers as Python writes them.",
        "pattern": "^[0-9a-f]{64}$",
        "type": "string",
    }
    schema["required"] = [*schema["required"], DIGEST]
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Manifest of a signature",
        "description": "models/signatures/ID/manifest.json: all that a score needs, and what a reader should know.",
    }
    return json.dumps(whole, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
