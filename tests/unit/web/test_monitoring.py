"""What deploy/monitoring asks for is what the page tells."""

import json
import re
from pathlib import Path

from starlette.testclient import TestClient

from node.core.ledger import Ledger, now
from node.core.ledger.tables import Echo

from .conftest import Known

FOLDER = Path(__file__).parents[3] / "deploy" / "monitoring"
METRIC = re.compile(r"\bcrlm_[a-z_]+\b")


def test_every_metric_that_is_asked_for_is_told(client: TestClient, known: Known, ledger: Ledger) -> None:
    """By the dashboard and by the alert rules; a metric that is not told would never alert anybody."""
    known()
    with ledger.transaction() as session:
        session.add(Echo(destination="results", at=now(), seconds=0.1, fault=""))
    text = client.get("/metrics").text
    told = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    told |= {f"{name}_bucket" for name in told}
    asked = {word for path in FOLDER.rglob("*.*") if path.is_file() for word in METRIC.findall(path.read_text())}
    assert len(asked) > 10
    assert asked - told == set()


def test_the_dashboard_is_one() -> None:
    """Its panels have numbers of their own and do not lie over each other."""
    panels = json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]
    assert len({one["id"] for one in panels}) == len(panels)
    cells = [
        (x, y)
        for one in panels
        for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
        for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
