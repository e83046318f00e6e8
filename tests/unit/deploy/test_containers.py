"""deploy/containers/: what an image is made of, as its Containerfile says it, without an engine."""

import re
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
    assert "/postgres:15-bookworm\n" in (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")


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
