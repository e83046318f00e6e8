"""A study's page with what signatures say of it, from a result as stage 9 writes it."""

import json
from pathlib import Path

import pytest
from made_signature import MEAN, VALUES, requires, signature
from made_studies import Made

from node.core.ledger import Ledger
from node.core.ledger.tables import Job
from node.core.records import AskedSignature
from node.core.settings import Settings
from workers import analysis
from workers.measurement import rad_features
from workers.measurement.rad_features import Computed
from workers.signature.scope import MaskOrigin, Provenance

from .conftest import Known, Sign

OPEN = {"contrast_phase": (), "slice_thickness_mm": None, "untreated_tumour": False, "indication": ()}
ANYBODY = requires(mask_provenance={"tumour": Provenance(origins=tuple(MaskOrigin))}, **OPEN)


def test_a_score_and_why_there_is_none(
    sign_in: Sign,
    known: Known,
    ledger: Ledger,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The score with its group, its place and what each feature gives; of the other signatures the reason."""
    told = signature(id="tcia-crlm-os", requires=ANYBODY)
    strict = signature(id="of-the-site", requires=requires(**OPEN))
    lacking = signature(id="kha-2026", missing=("its coefficients",), features=(), groups=None, training=None)
    asked = (told, strict, lacking)
    values = {one.id: Computed({**VALUES, f"tumour:{MEAN}": 260.0}) for one in asked}
    monkeypatch.setattr(analysis.folder, "asked", lambda *_: asked)
    monkeypatch.setattr(rad_features, "compute", lambda *_: (values, ()))
    named = tuple(AskedSignature(one.id, one.digest) for one in asked)
    document = Made(tmp_path / "made").study(signatures=named).document

    client, uid = sign_in(), known()
    with ledger.reading() as session:
        key = session.query(Job).where(Job.study_uid == uid).one().key
    folder = settings.spool_dir / "work" / key
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(document))
    page = client.get(f"/studies/{uid}").text

    panel = " ".join(page.partition('id="rad-title"')[2].partition("</section>")[0].split())
    ours, _, others = panel.partition("of-the-site")
    assert "<strong>4.60</strong>, group high; higher than 100 % of the patients in training" in ours
    assert "outside the range of training" in ours
    assert ours.count('<tr><th scope="row">') == len(document["rad_scores"][0]["contributions"]) == 3
    assert "<strong>" not in others
    assert "not published: its coefficients" in others
