"""deploy/compose.yaml as an engine reads it: anchors and merges resolved, variables at what stands for them."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

DEPLOY = Path(__file__).parents[2] / "deploy"


def compose() -> dict[str, Any]:
    """Read the file."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    loaded: dict[str, Any] = YAML(typ="safe").load(text)
    return loaded
