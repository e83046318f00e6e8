"""deploy/containers/: what an image is made of, as its Containerfile says it, without an engine."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "deploy" / "containers").glob("*.Containerfile"))
OURS = [path for path in FILES if path.name.startswith(("node", "worker"))]


def instructions(path: Path) -> list[tuple[str, str]]:
    """The instructions of a Containerfile, each in one line."""
    text = re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in lines]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there(path: Path) -> None:
    """A source that was moved stops the build of a site, far from here."""
    sources = [word for name, rest in instructions(path) if name == "COPY" and "--from" not in rest
               for word in rest.split()[:-1]]  # fmt: skip
    assert sources
    assert [one for one in sources if not (ROOT / one).exists()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_runs_as_nobody_in_particular(path: Path) -> None:
    """The last word on the user is no root; nothing is fetched by URL, and no variable holds a secret."""
    said = instructions(path)
    assert [rest for name, rest in said if name == "USER"][-1].split(":")[0] not in ("root", "0")
    assert "ADD" not in {name for name, _ in said}
    assert not re.search(r"PASSWORD|TOKEN|SECRET", " ".join(rest for name, rest in said if name in ("ENV", "ARG")))
    bases = [rest.split()[0] for name, rest in said if name == "FROM" and not rest.startswith("$")]
    bases += [rest.partition("=")[2] for name, rest in said if name == "ARG" and rest.startswith("BASE")]
    assert all(re.fullmatch(r"[\w./-]+:\w*\d[\w.-]*", base) for base in bases), bases


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_base_is_named_once_and_is_the_site_s_to_choose(path: Path) -> None:
    """No registry stands in it, and every stage is of what `--build-arg BASE=` says."""
    said = instructions(path)
    assert {rest.split()[0] for name, rest in said if name == "FROM"} == {"${BASE}"}
    [base] = [rest.partition("=")[2] for name, rest in said if name == "ARG" and rest.startswith("BASE=")]
    assert re.fullmatch(r"[a-z]+:[\w.-]+", base)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_it_has_stages_and_one_way_to_install(path: Path) -> None:
    """What builds stays behind: the image gets the environment alone, made by the script that bare.sh tries too."""
    said = instructions(path)
    assert [name for name, _ in said].count("FROM") == 2
    last = said[max(place for place, (name, _) in enumerate(said) if name == "FROM") :]
    assert not re.search(r"pip|install\.sh|apt-get", " ".join(rest for _, rest in last))
    part = path.name.partition(".")[0]
    assert any(f"deploy/containers/install.sh {part} /opt/crlm-node" in rest for name, rest in said if name == "RUN")


def test_the_node_saves_the_database_of_the_compose_file() -> None:
    """Its image has pg_dump of the same Debian as the server's image, and so of the same version or a newer one."""
    said = instructions(ROOT / "deploy" / "containers" / "node.Containerfile")
    assert any("database.sh" in rest for name, rest in said if name == "RUN")
    [base] = [rest for name, rest in said if name == "ARG" and rest.startswith("BASE")]
    assert base.endswith("-bookworm")  # whose client is of version 15
    assert " postgres:15-bookworm\n" in (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")


def test_the_image_of_the_node_holds_what_is_pinned_for_it() -> None:
    """All that the node needs, walked from its own metadata here, is in node.txt: no torch and no image toolkit."""
    pinned = {
        canonicalize_name(line.partition("==")[0])
        for line in (ROOT / "deploy" / "constraints" / "node.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    needed, waiting = set(), [Requirement("crlm-node")]
    while waiting:
        one = waiting.pop()
        extras = ("", *one.extras)
        for line in metadata.requires(one.name) or []:
            other = Requirement(line)
            name = canonicalize_name(other.name)
            applies = other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in extras)
            if applies and (name not in needed or other.extras):
                needed.add(name)
                waiting.append(Requirement(other.name + (f"[{','.join(other.extras)}]" if other.extras else "")))
    assert needed <= pinned | {"setuptools"}, sorted(needed - pinned)
    assert not {"torch", "simpleitk", "totalsegmentator", "scipy"} & needed


LOOP = """
import sys
import numpy as np
from workers.compiled import compiled, load

@compiled("int64(int64[::1])")
def total(values):
    found = 0
    for one in values:
        found += one
    return found

if __name__ == "__main__":
    load()
    print(sum(total.stats.cache_misses.values()), total(np.arange(4)), total.stats.cache_path)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root with the compiler of the loops, and one small loop in place of those of the radiomics."""
    packages = tmp_path / "opt" / "packages"
    rooms = [
        packages / "workers",
        packages / "workers" / "measurement",
        packages / "workers" / "measurement" / "radiomics",
    ]
    rooms[-1].mkdir(parents=True)
    for room in rooms:
        (room / "__init__.py").touch()
    shutil.copy(ROOT / "workers" / "compiled.py", rooms[0])
    (rooms[-1] / "engine.py").write_text(LOOP)
    (tmp_path / "opt" / "bin").mkdir()
    python = tmp_path / "opt" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path / "opt"


def test_a_worker_loads_what_was_compiled_with_its_image(image: Path, tmp_path: Path) -> None:
    """The line of install.sh, beside the sources; a layer as an engine packs it; a process in the image's own words."""
    [line] = [line for line in (ROOT / "deploy/containers/install.sh").read_text().splitlines() if "load()" in line]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "PYTHON"))}
    subprocess.run(["bash", "-euc", line], env=clean | {"target": str(image)}, cwd=ROOT, check=True)
    layer = tmp_path / "layer.tar"
    subprocess.run(["tar", "--format=ustar", "-cf", layer, "-C", image.parent, "opt"], check=True)
    shutil.rmtree(image)
    subprocess.run(["tar", "-xf", layer, "-C", image.parent], check=True)
    said = instructions(ROOT / "deploy" / "containers" / "worker.Containerfile")
    words = [word.split("=", 1) for name, rest in said if name == "ENV" for word in rest.split()]
    environment = {name: value.replace("/tmp/", f"{tmp_path}/tmp/") for name, value in words if name != "PATH"}  # noqa: S108
    engine = image / "packages" / "workers" / "measurement" / "radiomics" / "engine.py"
    done = subprocess.run([image / "bin" / "python", engine], env=clean | environment, capture_output=True, text=True)
    misses, total, folder = done.stdout.split()
    assert (misses, total) == ("0", "6"), done.stderr
    assert folder.startswith(environment["NUMBA_CACHE_DIR"])
