"""What operators watch: the table of metrics, the alert rules and the dashboard tell the truth."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from extauthz.demo.authority import authority, name
from extauthz.directory.gathered import GatheredDirectories
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.observe import tracing, tracing_settings
from extauthz.observe.decision_log import DecisionLogs
from extauthz.observe.metrics import CheckCounters, registry
from extauthz.pins.gathered import GatheredPins
from extauthz.policyfile.live import LivePolicy
from extauthz.wire.request import RequestReader

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "monitoring" / "alerts.yaml"
DASHBOARD = json.loads((ROOT / "monitoring" / "grafana-dashboard.json").read_text())
TABLE = (ROOT / "docs" / "metrics.md").read_text()
OF_THE_PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up"}
POLICY = """
subscriptions:
  acme: {hosts: [acme.example], signing_certificates: [ca.pem], accounts: {alice: a@acme.example}}
"""


@pytest.fixture(scope="module")
def promtool() -> str:
    program = shutil.which("promtool")
    if program is None:
        assert not os.environ.get("CI"), "promtool is missing"
        pytest.skip("promtool is not installed: apt install prometheus")
    return program


@pytest.fixture
async def exposed(tmp_path: Path) -> dict[str, Metric]:
    """Every metric of a server, by the name under which it is exposed."""
    (tmp_path / "ca.pem").write_text(authority(name("CA")).pem)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    evidence, directories = GatheredEvidence(tmp_path / "state"), GatheredDirectories()
    pins = GatheredPins()
    live = LivePolicy(policy, evidence, directories, pins)
    assert await live.reload()
    reader, counters, logs = RequestReader(), CheckCounters(), DecisionLogs([])
    metrics = registry(counters, live, reader, logs, evidence, directories, pins)
    settings = tracing_settings.read({})
    assert settings is not None
    with tracing.running(settings) as spans:
        families = [*metrics.collect(), *spans.collect()]
    return {
        family.name + ("_total" if family.type == "counter" else ""): family
        for family in families
        if not family.name.startswith("process_")
    }


def rows(table: str) -> Iterator[tuple[str, str, set[str], str]]:
    """Name, type, labels and meaning, as the documentation has them."""
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `extauthz_"):
            metric, kind, labels, *meaning = cells
            yield metric.strip("`"), kind, set(re.findall(r"\w+", labels)), " | ".join(meaning)


def test_table_has_every_metric_with_its_type_and_meaning(exposed: dict[str, Metric]) -> None:
    """And none that is not there."""
    documented = {metric: (kind, meaning) for metric, kind, _, meaning in rows(TABLE)}

    assert documented.keys() == exposed.keys()
    for metric, family in exposed.items():
        kind, meaning = documented[metric]
        assert kind == family.type, metric
        assert meaning.replace("`", "").startswith(family.documentation.replace("`", "")), metric


def test_table_has_the_labels(exposed: dict[str, Metric]) -> None:
    """None comes from a request, so that their number is bounded."""
    for metric, _, labels, _ in rows(TABLE):
        # Known before there is a sample.
        known = getattr(exposed[metric], "_labelnames", ())
        assert labels == set(known), metric
        assert labels <= {
            "subscription", "mode", "decision", "reason", "label", "sha256", "exemption", "result",
            "source", "issuer", "key", "covers", "responder", "destination", "version", "outcome",
        }  # fmt: skip


def metrics_in(expression: str) -> set[str]:
    named = re.findall(r"\b(?:extauthz|process)_\w+|\bup\b", expression)
    return {re.sub(r"_bucket$", "", metric) for metric in named}


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def alert_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def test_alerts_and_dashboard_name_metrics_that_exist(exposed: dict[str, Metric]) -> None:
    """An expression on a metric that nobody has is silent for ever."""
    expressions = [rule["expr"] for rule in alert_rules()] + dashboard_expressions()

    assert expressions
    for expression in expressions:
        assert metrics_in(expression), expression
        assert metrics_in(expression) <= exposed.keys() | OF_THE_PROCESS, expression


def test_every_alert_fires_when_it_should_and_not_otherwise(promtool: str, tmp_path: Path) -> None:
    """By promtool, on series that are made for it; each alert is in one of its tests."""
    cases = (ROOT / "tests" / "monitoring" / "alerts_test.yaml").read_text()
    path = tmp_path / "test.yaml"
    path.write_text(cases.replace("[ALERTS]", f"[{ALERTS}]"))
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert firing_in(cases) == {rule["alert"] for rule in alert_rules()}


def firing_in(cases: str) -> set[str]:
    """The alerts that are expected to fire somewhere."""
    fired: set[str] = set()
    for case in yaml.safe_load(cases)["tests"]:
        for each in case.get("alert_rule_test", ()):
            fired |= {each["alertname"]} if each.get("exp_alerts") else set()
        for each in case.get("promql_expr_test", ()):
            if each["exp_samples"]:
                fired |= set(re.findall(r'alertname="(\w+)"', each["expr"]))
    return fired


def test_every_expression_of_the_dashboard_is_promql(promtool: str, tmp_path: Path) -> None:
    """With something in place of Grafana's variables."""
    rules = [
        {
            "record": f"panel:{number}",
            "expr": expression.replace("$__rate_interval", "5m")
            .replace("$__range", "6h")
            .replace("$subscription", ".*"),
        }
        for number, expression in enumerate(dashboard_expressions())
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


def test_dashboard_is_whole() -> None:
    """Panels have a title and a description, ids are unique, and none lies upon another."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
