"""What deploy/monitoring asks for is what the page tells."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from starlette.testclient import TestClient

from node.core.ledger import Ledger, audit, jobs, now
from node.core.ledger.audit import Rejection
from node.core.ledger.tables import Echo
from node.core.ledger.worklist import Condition
from node.core.states import DeliveryState, Stage
from node.web import machine

from .conftest import Known

FOLDER = Path(__file__).parents[3] / "deploy" / "monitoring"
METRIC = re.compile(r"\bcrlm_[a-z_]+\b")
SELECTED = re.compile(r"(crlm_[a-z_]+)(?:\{([^}]*)\})?")
VALUES = {"condition": Condition, "state": DeliveryState, "queue": Stage, "stage": Stage}


def asked() -> Iterator[tuple[str, str, str]]:
    """Yield each expression with its name, and the words in which its labels are shown."""
    rules = YAML(typ="safe").load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in (rule for group in rules for rule in group["rules"]):
        yield rule["alert"], rule["expr"], " ".join(re.findall(r"\$labels\.\w+", str(rule["annotations"])))
    for panel in json.loads((FOLDER / "grafana-dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], target["legendFormat"]


@pytest.fixture
def told(client: TestClient, known: Known, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """The metrics of a site in which everything has happened, with the labels of each."""
    monkeypatch.setattr(machine, "gpus", lambda: [machine.Gpu(0, "A", 0.5, 1, 2, 40.0)])
    client.get("/metrics")  # what is timed and counted is counted from here on
    uid = known()
    with ledger.transaction() as session:
        session.add(Echo(destination="results", at=now(), seconds=0.1, fault=""))
        [job] = jobs.of_study(session, uid)
        assert jobs.take(session, job.key, job.stage, "w", timedelta(seconds=9)) is not None
        assert jobs.finish(session, job.key, "w")
    audit.note(ledger, audit.rejected(Rejection.CALLER_UNKNOWN, calling_ae_title="X", host="10.0.0.9", detail="a"))
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {one.name: set(one.labels) for one in samples}


def test_every_metric_that_is_asked_for_is_told(told: dict[str, set[str]]) -> None:
    """By the dashboard and by the alert rules; a metric that is not told would never alert anybody."""
    words = {word for path in FOLDER.rglob("*.*") for word in METRIC.findall(path.read_text())}
    assert len(words) > 10
    assert words - told.keys() == set()


@pytest.mark.parametrize(("name", "expression", "shown"), list(asked()))
def test_every_label_that_is_asked_for_is_told(
    name: str, expression: str, shown: str, told: dict[str, set[str]]
) -> None:
    """With a value that it can have; what a message or a legend shows is what the expression leaves."""
    there: set[str] = set()
    for metric, chosen in SELECTED.findall(expression):
        there |= told[metric]
        values = dict(re.findall(r'(\w+)!?="([^"]*)"', chosen))
        assert values.keys() <= told[metric], name
        assert all(value in (*VALUES.get(label, ()), "") for label, value in values.items()), name
    grouped = {word for words in re.findall(r"\b(?:by|on) ?\(([^)]*)\)", expression) for word in words.split(", ")}
    assert grouped <= there, name
    left = grouped if re.search(r"\b(sum|max)\b", expression) else there
    assert set(re.findall(r"\$labels\.(\w+)", shown)) | set(re.findall(r"\{\{(\w+)\}\}", shown)) <= left, name


def test_every_scraper_has_the_name_that_the_rules_ask_for() -> None:
    """`up` is told by Prometheus, of the jobs of its own file."""
    jobs_asked = {job for _, expression, _ in asked() for job in re.findall(r'\bup\{job="([^"]*)"\}', expression)}
    assert jobs_asked == {"crlm-node"}
    for name in ("prometheus.yml", "compose.yml"):
        read = YAML(typ="safe").load((FOLDER / name).read_text())
        assert {one["job_name"] for one in read["scrape_configs"]} == jobs_asked
        assert any(Path("alerts.yml").match(pattern) for pattern in read["rule_files"])


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
