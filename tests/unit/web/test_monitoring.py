"""What deploy/monitoring asks for is what the page tells, and a real Prometheus understands both."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

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


def read_rules() -> list[dict[str, Any]]:
    """Return the groups of alert rules."""
    groups: list[dict[str, Any]] = YAML(typ="safe").load((FOLDER / "alerts.yml").read_text())["groups"]
    return groups


def asked() -> Iterator[tuple[str, str, str]]:
    """Yield each expression with its name, and the words in which its labels are shown."""
    for rule in (rule for group in read_rules() for rule in group["rules"]):
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


# --- by Prometheus' own judge ---------------------------------------------------------------------------------------

Judge = Callable[..., str]
LONG_MIN = 300
"""Longer than any alert waits."""


@pytest.fixture
def judge(program: Callable[[str], str], tmp_path: Path) -> Judge:
    """Return a function that runs promtool beside the files of deploy/monitoring, and returns what is wrong."""
    promtool = program("promtool")
    for path in FOLDER.glob("*.yml"):
        shutil.copy(path, tmp_path)

    def run(*words: str, given: str = "") -> str:
        command = [promtool, *words]
        done = subprocess.run(command, cwd=tmp_path, input=given, text=True, capture_output=True, check=False)
        return done.stdout + done.stderr if done.returncode else ""

    return run


@pytest.mark.parametrize("name", ["prometheus.yml", "compose.yml"])
def test_prometheus_takes_its_files(name: str, judge: Judge, tmp_path: Path) -> None:
    """Each with the rules that it names; a file with a key that does not exist is refused."""
    assert judge("check", "config", name) == ""
    with (tmp_path / name).open("a") as file:
        file.write("nonsense: 1\n")
    assert "nonsense" in judge("check", "config", name)


def test_prometheus_finds_no_fault_with_the_metrics(
    judge: Judge, client: TestClient, told: dict[str, set[str]]
) -> None:
    """Form, names, units and explanations; a counter that is not called one is told."""
    assert told
    text = client.get("/metrics").text
    assert judge("check", "metrics", given=text) == ""
    assert "crlm_wrong" in judge(
        "check", "metrics", given=f"{text}# HELP crlm_wrong W.\n# TYPE crlm_wrong counter\ncrlm_wrong 1\n"
    )


WELL = {
    'up{job="crlm-node"}': "1",
    "crlm_ledger_up": "1",
    'crlm_studies{condition="done",reason=""}': "40",
    'crlm_queue_age_seconds{queue="segment"}': "200",
    'crlm_queue_paused{queue="segment"}': "0",
    'crlm_destination_up{destination="pacs"}': "1",
    "crlm_disk_free_bytes": "9e11",
    'crlm_rejected_associations_total{reason="caller-unknown"}': "3",
}
SITES: dict[str, tuple[dict[str, str], int, dict[str, str], str]] = {
    "CrlmPageDown": (
        {'up{job="crlm-node"}': "0"},
        5,
        {"job": "crlm-node"},
        "The page of the node does not answer.",
    ),
    "CrlmLedgerAway": ({"crlm_ledger_up": "0"}, 2, {}, "The ledger does not answer."),
    "CrlmStudySetAside": (
        {f'crlm_studies{{condition="quarantined",reason="{reason}"}}': "2" for reason in ("input-untrusted", "other")},
        5,
        {},
        "4 studies are set aside.",
    ),
    "CrlmStudyFailed": ({'crlm_studies{condition="failed",reason=""}': "1"}, 5, {}, "1 studies have failed."),
    "CrlmQueueStands": (
        {'crlm_queue_age_seconds{queue="segment"}': "3700"},
        10,
        {"queue": "segment"},
        "The first in the queue segment waits for 1h 1m 40s.",
    ),
    "CrlmQueuePaused": (  # what stands because it is paused is told once
        {'crlm_queue_age_seconds{queue="segment"}': "3700", 'crlm_queue_paused{queue="segment"}': "1"},
        240,
        {"queue": "segment"},
        "The queue segment is paused for four hours.",
    ),
    "CrlmDestinationSilent": (
        {'crlm_destination_up{destination="pacs"}': "0"},
        15,
        {"destination": "pacs"},
        "pacs does not answer.",
    ),
    "CrlmDiskLow": ({"crlm_disk_free_bytes": "1.5e10"}, 10, {}, "The disk of the spool has 13.97GiB left."),
    "CrlmCallersRejected": (
        {'crlm_rejected_associations_total{reason="caller-unknown"}': "0+2"},
        11,  # more than twenty
        {"reason": "caller-unknown"},
        "Associations are rejected: caller-unknown.",
    ),
}
"""For each alert what is other than in a site that is well, after how many minutes, its labels, what it says."""


@pytest.mark.parametrize("fires", ["", *SITES])
def test_each_alert_is_of_one_thing(fires: str, judge: Judge, tmp_path: Path) -> None:
    """Where that is so it fires, in good time and not before, with its words, and no other does; else none."""
    rules = {rule["alert"]: rule for group in read_rules() for rule in group["rules"]}
    assert rules.keys() == SITES.keys()
    changed, after_min, labels, summary = SITES[fires] if fires else ({}, 0, {}, "")
    series = [{"series": one, "values": f"{values}x{LONG_MIN}"} for one, values in (WELL | changed).items()]
    told = (
        {
            "exp_labels": {**labels, **rules[fires]["labels"]},
            "exp_annotations": {**rules[fires]["annotations"], "summary": summary},
        }
        if fires
        else {}
    )
    asked_of = [
        {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": [told] if (name == fires and late) else []}
        for name in rules
        for minutes, late in ((max(after_min - 1, 0), False), (after_min, True), (LONG_MIN, True))
    ]
    content = {
        "rule_files": ["alerts.yml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": asked_of}],
    }
    (tmp_path / "test.yml").write_text(json.dumps(content))
    assert judge("test", "rules", "test.yml") == ""
