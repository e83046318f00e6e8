"""Bills of material of node and worker (CycloneDX, JSON) in build/sbom, and the list of licences, docs/licences.md.

usage: .venv/bin/python deploy/sbom.py      (make sbom)
Comes in: what is installed in this environment, as cyclonedx-py reads it, and the pins that say what of it belongs to
node and worker. What can go wrong: a pinned package is not installed here; it is named, and nothing is written.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT = Path(__file__).parents[1]
PARTS = {"node": ("node",), "worker": ("node", "worker")}
VERSION = "1.6"
ELSEWHERE = {"async-timeout"}  # pinned, and installed by older versions of Python alone
ADDRESS = r'[^\s<>"{}|\\^`\x00-\x20]+'
HEAD = """# Licences of what is installed

Made by `make sbom` from the packages' own metadata; the licence of crlm-node is Apache-2.0. *node*: on every machine;
*worker*: where segmentation and measurement run. Debian's packages (Orthanc, GPL-3.0; Redis 7.0, BSD-3; PostgreSQL) and
the weights of TotalSegmentator (`crlm-node models list`) have licences of their own. In the package are the font of
the Summary (Roboto, Apache-2.0) and htmx (0BSD). What only the tests need is not listed, for no site gets it.

| package | version | licence | part |
|---|---|---|---|
"""


def canonical(name: str) -> str:
    """Return a package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(part: str) -> dict[str, str]:
    """Return version by name of one file of pins."""
    lines = (PROJECT / "deploy" / "constraints" / f"{part}.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonical(name): version for name, version in pairs if canonical(name) not in ELSEWHERE}


def environment() -> dict[str, Any]:
    """Return the bill of all that is installed here."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--sv", VERSION, "--output-reproducible"]
    command += ["--of", "JSON", "--no-validate", sys.executable]  # main() validates what is kept of it
    done = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own words
    loaded: dict[str, Any] = json.loads(done.stdout)
    for one in loaded["components"]:
        if not one.get("licenses") and (said := (metadata(one["name"]).get("License") or "").strip()):
            one["licenses"] = [{"license": {"name": said.splitlines()[0].strip()}}]  # words that are no identifier
    return loaded


def bill_of(everything: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Return the bill of the wanted packages alone, each with what it depends on of them."""
    components = [one for one in everything["components"] if canonical(one["name"]) in wanted]
    if missing := wanted - {canonical(one["name"]) for one in components}:
        raise SystemExit(f"sbom.py: not installed here: {', '.join(sorted(missing))} (make install)")
    kept = {one["bom-ref"] for one in components}
    dependencies = [
        {"ref": one["ref"], "dependsOn": [ref for ref in one.get("dependsOn", []) if ref in kept]}
        for one in everything["dependencies"]
        if one["ref"] in kept
    ]
    return {**everything, "components": components, "dependencies": dependencies}


def fault_of(bill: dict[str, Any]) -> str:
    """Return what speaks against a bill, by the schema of CycloneDX; nothing where it is one.

    The validator parses every address by a grammar, most of a minute for all of them: it sees a short one in the place
    of each, and the addresses themselves are held against the characters that RFC 3987 allows.
    """
    addresses: list[str] = []

    def shortened(one: dict[str, Any]) -> dict[str, Any]:
        if "url" in one:
            addresses.append(one["url"])
        return {**one, "url": "a"} if "url" in one else one

    text = json.dumps(json.loads(json.dumps(bill), object_hook=shortened))
    if bad := [address for address in addresses if not re.fullmatch(ADDRESS, address)]:
        return f"no address: {bad[0]}"
    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or "")


def licence_of(component: dict[str, Any]) -> str:
    """Return what a package says of its licence, in one cell; long texts and classifiers give way to an identifier."""
    said = []
    for one in component.get("licenses", []):
        licence = one.get("license", {})
        said.append(one.get("expression") or licence.get("id") or licence.get("name", "").splitlines()[0])
    short = [word.removeprefix("License :: ").removeprefix("OSI Approved :: ") for word in said if word]
    short = [word for word in dict.fromkeys(short) if word != "OSI Approved"]
    named = [word for word in short if not word.startswith("declared license of")]
    return " / ".join(named or short)[:120].replace("|", "/") or "see the package"


def main() -> None:
    """Write the bills and the page."""
    everything = environment()
    out = PROJECT / "build" / "sbom"
    out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, str] = {}
    for part, files in PARTS.items():
        bill = bill_of(everything, {name for file in files for name in pins(file)})
        if fault := fault_of(bill):
            raise SystemExit(f"sbom.py: {part}.json is no CycloneDX {VERSION}: {fault}")
        (out / f"{part}.json").write_text(json.dumps(bill, indent=1), encoding="utf-8")
        for one in bill["components"]:
            name = canonical(one["name"])
            version = pins(files[-1]).get(name, one["version"])
            rows.setdefault(name, f"| {name} | {version} | {licence_of(one)} | {part} |\n")
    (PROJECT / "docs" / "licences.md").write_text(HEAD + "".join(rows[name] for name in sorted(rows)), encoding="utf-8")
    print(f"{len(rows)} packages: {out}/node.json, worker.json, docs/licences.md")


if __name__ == "__main__":
    main()
