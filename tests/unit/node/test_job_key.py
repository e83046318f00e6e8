"""What may segment is part of a job's key: with other networks, another device or other weights it is another job."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from node.content import Choice
from node.core import settings as module
from node.core.records import Candidate, PatientFacts
from node.core.settings import MeasurementSettings, ReportSettings, Settings
from node.handoff import build_request

AT = datetime.fromisoformat("2026-11-21T12:00:00")


def key(**settings: Any) -> str:
    """Return the key of one and the same content under these settings."""
    facts = PatientFacts(None, None, None, None, "")
    return build_request("1.2.3", Choice((), (), ()), facts, Settings(**settings), AT).key


def test_what_may_segment_is_in_the_key(tmp_path: Path) -> None:
    """Networks on or off, engine, ladder, device, weights, demonstration model, resolution: each is another job.

    Which GPU is not.
    """
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "manifest.json").write_text(f'{{"files": {{"{folder.name}": 1}}}}')
    none = tmp_path / "none"
    for version in ("1", "2"):
        (tmp_path / version / "demo").mkdir(parents=True)
        (tmp_path / version / "demo" / "manifest.json").write_text(version)
    coarse = MeasurementSettings(segmentation_resolution="3mm")
    keys = [
        key(networks=False, weights_dir=first),
        key(networks=True, weights_dir=none),
        key(networks=True, weights_dir=first),
        key(networks=True, weights_dir=second),
        key(networks=True, weights_dir=first, device="gpu"),
        key(networks=True, weights_dir=first, engine="resident"),
        key(networks=True, weights_dir=first, engine="resident", device="gpu"),
        key(networks=True, weights_dir=first, engine="resident", device="gpu", engine_ladder=False),
        key(networks=True, weights_dir=first, measurement=coarse),
        key(networks=True, weights_dir=first, models_dir=tmp_path / "1"),
        key(networks=True, weights_dir=first, models_dir=tmp_path / "2"),
    ]
    assert len(set(keys)) == len(keys)
    assert key(networks=True, weights_dir=first, device="gpu:1") == keys[4]
    assert key(networks=True, weights_dir=first, engine="resident", engine_ladder=False) == keys[5]
    assert key(networks=False, weights_dir=second, device="gpu") == keys[0]


def test_the_language_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result in another language is another result, with UIDs of its own."""
    monkeypatch.setattr(module, "languages", lambda: ("en", "fr"))
    english, french = (key(report=ReportSettings(language=one)) for one in ("en", "fr"))
    assert english == key() != french


def test_signatures_are_in_the_key(tmp_path: Path) -> None:
    """Which are asked, what their manifests hold, and the phase of each candidate; without any, no phase."""
    for id_ in ("one", "two"):
        (tmp_path / "signatures" / id_).mkdir(parents=True)
        (tmp_path / "signatures" / id_ / "manifest.json").write_text(f'{{"id": "{id_}", "digest": ""}}')

    def asked(phase: str, *signatures: str) -> str:
        facts, candidate = PatientFacts(None, None, None, None, ""), Candidate("1.2", "", "", (), phase=phase)
        settings = Settings(networks=False, models_dir=tmp_path, signatures=signatures)
        return build_request("1.2.3", Choice((candidate,), (), ()), facts, settings, AT).key

    keys = [asked("native"), asked("native", "one"), asked("native", "one", "two"), asked("portal-venous", "one")]
    assert len(set(keys)) == len(keys)
    assert asked("portal-venous") == keys[0]
    (tmp_path / "signatures" / "one" / "manifest.json").write_text('{"id": "one", "digest": "other"}')
    assert asked("native", "one") != keys[1]
