"""The alerts of the chart: when they fire and when not, and that each has a correct runbook."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from sidecar.errors import Outcome
from sidecar.telemetry.log import FIELDS, LogEvent
from tests.charts.helm import Json, render
from tests.charts.manifests import one
from tests.charts.monitoring import (
    MONITORING,
    NAMESPACE,
    ROLE,
    documented_metrics,
    metrics_in,
    needs_prometheus,
    promtool,
)
from tests.cluster.layout import CHECKOUT

CASES = sorted((Path(__file__).parent / "alerts").glob("*.yaml"))
RUNBOOKS = CHECKOUT / "docs" / "runbooks"
OPERATIONS = CHECKOUT / "docs" / "operations.md"
ALERTS = [case.stem for case in CASES]

each_alert = pytest.mark.parametrize("alert", ALERTS)


@pytest.fixture(scope="module")
def objects() -> list[Json]:
    return render(MONITORING, namespace=NAMESPACE)


@pytest.fixture(scope="module")
def rules(objects: list[Json]) -> dict[str, Json]:
    (group,) = one(objects, "PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


@pytest.fixture(scope="module")
def directory(objects: list[Json], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rendered rules and the promtool tests of each alert."""
    made = tmp_path_factory.mktemp("rules")
    (made / "rules.yaml").write_text(json.dumps(one(objects, "PrometheusRule")["spec"]), encoding="utf-8")
    for case in CASES:
        shutil.copy(case, made)
    return made


@needs_prometheus
def test_promtool_accepts_the_rules(directory: Path) -> None:
    assert "5 rules found" in promtool("check", "rules", "rules.yaml", directory=directory)


@needs_prometheus
@each_alert
def test_it_fires_when_it_should_and_not_otherwise(alert: str, directory: Path) -> None:
    promtool("test", "rules", f"{alert}.yaml", directory=directory)


def test_each_alert_has_tests_and_a_runbook_and_there_are_no_others(rules: dict[str, Json]) -> None:
    assert sorted(rules) == ALERTS
    assert sorted(path.stem for path in RUNBOOKS.glob("AwsOidcSidecar*.md")) == ALERTS


@each_alert
def test_an_alert_has_a_severity_a_description_and_a_runbook(alert: str, rules: dict[str, Json]) -> None:
    rule = rules[alert]
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"https://runbooks.example.com/{alert}.md"
    assert "$labels.namespace" in rule["annotations"]["description"]
    assert "$labels.pod" in rule["annotations"]["description"]
    assert re.fullmatch(r"[1-9]\d*m", rule["for"])


@each_alert
def test_an_alert_reads_only_series_of_the_release_s_namespace(alert: str, rules: dict[str, Json]) -> None:
    expression = rules[alert]["expr"]
    series = re.findall(r"\b(?:aws_oidc_sidecar_\w+|kube_\w+|up)\b(\S*)", expression)
    assert series
    assert [selector for selector in series if f'namespace="{NAMESPACE}"' not in selector] == []


def test_every_denial_that_no_retry_fixes_is_broken_trust(rules: dict[str, Json]) -> None:
    named = re.search(r'outcome=~"([^"]+)"', rules["AwsOidcSidecarTrustBroken"]["expr"])
    assert named
    temporary = {"success", "throttled", "server_error", "unreachable", "timeout", "invalid_response", "worker_failed"}
    # AwsOidcSidecarTokenNotRotating covers the first; for the second, the source profile has its own alert.
    # Whether a retry fixes an unknown error is unknown too: AwsOidcSidecarNoSuccessfulRefresh fires for it.
    others = {"expired_token", "source_unavailable", "other_error"}
    assert set(named[1].split("|")) == {str(outcome) for outcome in Outcome} - temporary - others


def test_without_a_base_url_the_link_is_the_path_of_the_runbook() -> None:
    (group,) = one(render(ROLE | {"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"]
    paths = {rule["annotations"]["runbook_url"] for rule in group["rules"]}
    assert paths == {f"docs/runbooks/{alert}.md" for alert in ALERTS}


def test_monitoring_objects_are_off_by_default() -> None:
    made = render(ROLE)
    assert {each["kind"] for each in made}.isdisjoint({"PodMonitor", "PrometheusRule"})
    assert not any("dashboard" in each["metadata"]["name"] for each in made)


def test_labels_of_the_user_do_not_replace_those_of_the_chart() -> None:
    labels = {"release": "monitoring", "app.kubernetes.io/managed-by": "another"}
    made = render(
        ROLE | {name: MONITORING[name] | {"labels": labels} for name in ("podMonitor", "prometheusRule", "dashboard")}
    )
    for thing in (one(made, "PodMonitor"), one(made, "PrometheusRule"), _dashboard(made)):
        assert thing["metadata"]["labels"]["release"] == "monitoring"
        assert thing["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm"


def _dashboard(objects: list[Json]) -> Json:
    (found,) = [each for each in objects if each["metadata"]["name"].endswith("-dashboard")]
    return found


def test_the_monitor_selects_the_pod_of_the_example(objects: list[Json]) -> None:
    pod = one(yaml.safe_load_all((CHECKOUT / "examples" / "pod.yaml").read_text(encoding="utf-8")), "Pod")
    spec = one(objects, "PodMonitor")["spec"]
    assert spec["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    (selector,) = spec["selector"]["matchExpressions"]
    assert selector["operator"] == "Exists"
    assert selector["key"] in pod["metadata"]["labels"]
    (sidecar,) = pod["spec"]["initContainers"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert [port["name"] for port in sidecar["ports"]] == [endpoint["port"]]
    assert endpoint["path"] == "/metrics"
    # The alerts select the sidecar's target by this name.
    assert sidecar["name"] == "aws-oidc-sidecar"


def test_the_monitor_has_the_interval_and_timeout_of_the_values() -> None:
    made = render(ROLE | {"podMonitor": {"enabled": True, "interval": "1m", "scrapeTimeout": "5s"}})
    (endpoint,) = one(made, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("1m", "5s")


@each_alert
def test_a_runbook_has_all_sections_the_doctor_and_sighup(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "What it means",
        "Effect on the application",
        "Check first",
        "Fix",
        "How to verify the fix",
    ]
    assert "aws-oidc-sidecar doctor" in text
    assert "SIGHUP" in text


@pytest.mark.parametrize("page", [*(f"runbooks/{alert}.md" for alert in ALERTS), "operations.md"])
def test_every_metric_of_a_page_exists(page: str) -> None:
    named = metrics_in((CHECKOUT / "docs" / page).read_text(encoding="utf-8"))
    assert page == "operations.md" or named
    assert named - documented_metrics() == set()


@each_alert
def test_a_runbook_filters_the_log_by_events_and_fields_that_exist(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    filters = re.findall(r'select\(\.event == "(\w+)"\)\s+\| \{([\w, ]+)\}', text)
    assert len(filters) == text.count(".event")
    for event, fields in filters:
        assert event in set(LogEvent)
        assert set(fields.split(", ")) - FIELDS == set()
    # Names of events that a sentence quotes.
    quoted = re.findall(r"`((?:token|state|profiles|credentials|exchange|previous|config)_[a-z_]+)`", text)
    assert set(quoted) - set(LogEvent) == set()


@needs_prometheus
@each_alert
def test_every_query_of_a_runbook_is_promql(alert: str, tmp_path: Path) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    queries = re.findall(r"^ *```promql\n(.+?)\n *```", text, re.MULTILINE | re.DOTALL)
    assert queries
    recorded = [{"record": f"query{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "queries", "rules": recorded}]}))
    promtool("check", "rules", "queries.yaml", directory=tmp_path)


@pytest.mark.parametrize("page", [*(f"runbooks/{alert}.md" for alert in ALERTS), "operations.md"])
def test_every_link_of_a_page_has_a_target(page: str) -> None:
    path = CHECKOUT / "docs" / page
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8"))
    assert links
    for link in links:
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_operations_has_each_alert_with_its_severity_and_runbook(rules: dict[str, Json]) -> None:
    page = OPERATIONS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\(runbooks/(\w+)\.md\) \| (\w+) \|", page, re.MULTILINE)
    assert sorted(rows) == [(alert, alert, rules[alert]["labels"]["severity"]) for alert in ALERTS]


def _snippet(first_line: str) -> str:
    """Return the YAML block of the operations page that starts with this line."""
    found = re.findall(r"```yaml\n(.+?)```", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = [each for each in found if each.startswith(first_line)]
    return str(text)


@needs_prometheus
def test_the_scrape_configuration_of_the_page_is_valid_and_sets_the_labels_of_the_rules(tmp_path: Path) -> None:
    configuration = yaml.safe_load(_snippet("scrape_configs:"))
    (job,) = configuration["scrape_configs"]
    # Debian's build has no Kubernetes service discovery.
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    (tmp_path / "prometheus.yaml").write_text(json.dumps(configuration), encoding="utf-8")
    promtool("check", "config", "prometheus.yaml", directory=tmp_path)
    given = {rule["target_label"] for rule in job["relabel_configs"] if "target_label" in rule}
    assert given == {"namespace", "pod", "container"}


def test_the_network_policy_of_the_page_is_that_of_the_example() -> None:
    example = yaml.safe_load_all((CHECKOUT / "examples" / "network-policy.yaml").read_text(encoding="utf-8"))
    shown = yaml.safe_load(_snippet("apiVersion: networking.k8s.io/v1"))
    assert shown == one(example, "NetworkPolicy", shown["metadata"]["name"])
