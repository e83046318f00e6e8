"""deploy/bundle.sh: what is carried to a machine without internet, with a stand-in for the engine."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ENGINE = """#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
    *"config --images"*) echo crlm-node:0.1.0; echo redis:7.0-bookworm ;;
    save*) echo layers >"$3" ;;
    "image inspect"*) echo "sha256:1 crlm-node:0.1.0" ;;
esac
"""
Bundle = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Return a function that runs the script with an engine that notes what it is asked."""
    engine = tmp_path / "engine"
    engine.write_text(ENGINE)
    engine.chmod(0o755)
    env = {**os.environ, "ENGINE": str(engine), "CALLS": str(tmp_path / "calls")}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(ROOT / "deploy" / "bundle.sh"), *map(str, words)]
        return subprocess.run(command, env=env, text=True, capture_output=True, check=False)

    return run


def test_what_was_packed_is_loaded(bundle: Bundle, tmp_path: Path) -> None:
    """Every image of every profile is saved, with the sources and a digest of each file, which are compared there."""
    there = tmp_path / "bundle"
    assert bundle("images", there).returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert f"save -o {there}/images.tar crlm-node:0.1.0 redis:7.0-bookworm" in calls
    assert "--profile * build" in calls
    assert {line.split("./")[1] for line in (there / "SHA256SUMS").read_text().splitlines()} == {
        "images.tar",
        "images.txt",
        "crlm-node.tar.gz",
    }
    assert bundle("load", there).returncode == 0
    assert (tmp_path / "calls").read_text().splitlines()[-1] == f"load -i {there}/images.tar"


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
