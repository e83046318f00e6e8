"""deploy/bundle.sh: what is carried to a machine without internet, with a stand-in for the engine."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from composed import compose

ROOT = Path(__file__).parents[3]
ENGINE = """#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
    --version) echo "${ENGINE_IS:-Docker} version 1" ;;
    "compose version") [ -z "${ENGINE_IS:-}" ] ;;
    save*) echo layers >"$CALLS.tar"; while [ $# -gt 0 ]; do [ "$1" != -o ] || mv "$CALLS.tar" "$2"; shift; done ;;
    "image inspect"*) echo "sha256:1 crlm-node:0.1.0" ;;
esac
"""
PYTHON = """#!/bin/bash
case "$*" in
    -V) echo Python 3.11.2 ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *) echo "$*" >>"$CALLS"; echo wheel >"$6/one.whl" ;;
esac
"""
IMAGES = (
    *("crlm-node-orthanc:0.1.0", "crlm-node-worker:0.1.0", "crlm-node:0.1.0", "grafana/grafana:11.4.0"),
    *("postgres:15-bookworm", "prom/prometheus:v2.53.3", "redis:7.0-bookworm"),
)
Bundle = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a function that runs the script with an engine that notes what it is asked."""
    for name in ("engine", "engine-compose"):
        (tmp_path / name).write_text(ENGINE)
        (tmp_path / name).chmod(0o755)
    env = {**os.environ, "ENGINE": str(tmp_path / "engine"), "CALLS": str(tmp_path / "calls")}

    def run(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "deploy" / "bundle.sh"), *map(str, words)]
        return subprocess.run(command, env=env | variables, text=True, capture_output=True, check=False)

    return run


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_what_was_packed_is_loaded(engine: str, bundle: Bundle, tmp_path: Path) -> None:
    """Every image of every profile is saved, with the sources and a digest of each file, which are compared there."""
    there = tmp_path / "bundle"
    podman = {"ENGINE_IS": "podman"} if engine == "podman" else {}
    done = bundle("images", there, **podman)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    several = " --multi-image-archive" if podman else ""
    assert f"save{several} -o {there}/images.tar {' '.join(IMAGES)}" in calls
    build = "-f deploy/compose.yaml build"
    assert (build if podman else f"compose {build}") in calls
    assert [call for call in calls if call.startswith("pull")] == [f"pull -q {image}" for image in IMAGES[3:]]
    assert {line.split("./")[1] for line in (there / "SHA256SUMS").read_text().splitlines()} == {
        "images.tar",
        "images.txt",
        "crlm-node.tar.gz",
    }
    assert bundle("load", there).returncode == 0
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"load -i {there}/images.tar"


def test_it_carries_what_the_compose_file_names() -> None:
    """Of every service, whatever its profile."""
    assert {one["image"] for one in compose()["services"].values()} == set(IMAGES)


def test_packages_are_wheels_of_one_python(bundle: Bundle, tmp_path: Path) -> None:
    """All of them, as pinned, by an environment of the Python that is named; the words for there name it too."""
    python, there = tmp_path / "python", tmp_path / "bundle"
    python.write_text(PYTHON)
    python.chmod(0o755)
    done = bundle("wheels", there, PYTHON=str(python))
    assert done.returncode == 0, done.stderr
    [call] = [line for line in (tmp_path / "calls").read_text().splitlines() if "wheel" in line]
    pinned = "-c deploy/constraints/node.txt -c deploy/constraints/worker.txt"
    assert call == f"-m pip wheel -q -w {there}/wheels {pinned} .[worker]"
    assert done.stdout == (
        f"there, with Python 3.11.2 as here: pip install --no-index --find-links {there}/wheels 'crlm-node[worker]'\n"
    )
    assert "./wheels/one.whl" in (there / "SHA256SUMS").read_text()


def test_what_was_changed_on_the_way_is_not_loaded(bundle: Bundle, tmp_path: Path) -> None:
    """One byte more stops it, with a sentence, before the engine hears of it."""
    there = tmp_path / "bundle"
    bundle("images", there)
    with (there / "images.tar").open("a") as file:
        file.write("x")
    done = bundle("load", there)
    assert (done.returncode, "nothing was loaded" in done.stderr) == (1, True)
    assert "load" not in (tmp_path / "calls").read_text()
    assert bundle("load", tmp_path).returncode == 1


def test_wrong_words_are_told(bundle: Bundle) -> None:
    """No folder, or no such word: how it is used."""
    for words in ((), ("images",), ("fetch", "x")):
        done = bundle(*words)
        assert (done.returncode, "usage: bundle.sh images FOLDER" in done.stderr) == (2, True)
