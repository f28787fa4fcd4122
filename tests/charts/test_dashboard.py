"""Queries of the dashboard and the alerts against a real Prometheus that scraped the real daemon during faults."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.local.faults import FaultKind
from examples.local.kubelet import Misbehaviour
from examples.local.world import SERVICE_ACCOUNT, World
from tests.charts.helm import CHART, Json, render
from tests.charts.manifests import one
from tests.charts.monitoring import (
    MONITORING,
    NAMESPACE,
    Prometheus,
    documented_metrics,
    metrics_in,
    needs_prometheus,
    running_pod,
    running_prometheus,
)
from tests.cluster.layout import CHECKOUT

DASHBOARD: Json = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))
PANELS: list[Json] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RUNBOOKS = sorted((CHECKOUT / "docs" / "runbooks").glob("AwsOidcSidecar*.md"))
VARIABLES: list[Json] = [one for one in DASHBOARD["templating"]["list"] if one["type"] == "query"]
TARGETS = [
    pytest.param(panel, target, id=f"{panel['title']}-{target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
# The values of Grafana for "All", and for the time between two points of a graph of some hours.
CHOSEN = {"namespace": NAMESPACE, "pod": ".+", "profile": ".+", "__rate_interval": "4m", "datasource": "prometheus"}

# The faults take half a minute, in the first test that uses the fixture.
pytestmark = [needs_prometheus, pytest.mark.timeout(120)]


def filled_in(text: str) -> str:
    """Return a query with each variable replaced; an unknown variable raises KeyError."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: CHOSEN[found[1] or found[2]], text)


@dataclass(frozen=True, slots=True)
class Recording:
    """The recorded faults.

    Attributes:
        prometheus: scraped the pods all the time.
        since: the start, wall-clock seconds.
        until: the end, wall-clock seconds.
    """

    prometheus: Prometheus
    since: float
    until: float

    def series(self, target: Json) -> list[Json]:
        """Return the series of a panel's query, as Grafana queries it: over all of the time, or at its end."""
        expression = filled_in(target["expr"])
        if target["instant"]:
            return [{**sample, "values": [sample["value"]]} for sample in self.prometheus.query(expression)]
        return self.prometheus.query_range(expression, self.since, self.until)

    def labels(self, title: str, label: str) -> set[str]:
        """Return the values of a label in the first query of a panel."""
        return {one["metric"][label] for one in self.series(panel(title)["targets"][0])}

    def extremes(self, title: str) -> tuple[float, float]:
        """Return the smallest and the largest value that a panel's first query had at any time."""
        expression = filled_in(panel(title)["targets"][0]["expr"])
        (series,) = self.prometheus.query_range(expression, self.since, self.until)
        values = [float(value) for _, value in series["values"]]
        return min(values), max(values)


def panel(title: str) -> Json:
    (found,) = [one for one in PANELS if one["title"] == title]
    return found


@pytest.fixture(scope="module")
def recorded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """Cause one fault after the other until its alerts fire, and fix it until they end.

    The alerts are those of the chart, without their ``for``.
    """
    world.reset()
    role = world.set_up_trust(namespace=NAMESPACE)
    (group,) = one(render(MONITORING, namespace=NAMESPACE), "PrometheusRule")["spec"]["groups"]
    for rule in group["rules"]:
        rule["for"] = "0s"
    directory = tmp_path_factory.mktemp("recording")
    (directory / "prometheus").mkdir()
    with running_pod(world, role, "reader-0", directory / "reader") as reader:
        reader.sidecar.wait_for("credentials_refreshed")
        world.aws.faults.set(FaultKind.DOWN)
        with running_pod(world, role, "writer-0", directory / "writer") as writer:
            targets = {"reader-0": reader.sidecar.admin_port, "writer-0": writer.sidecar.admin_port}
            with running_prometheus(directory / "prometheus", targets, [group]) as prometheus:
                since = prometheus.now()
                # STS is down: the reader keeps its credentials, the writer starts and gets none.
                reader.refresh("exchange_failed")
                statuses = [reader.sidecar.get().status for _ in range(20)]
                statuses += [reader.sidecar.get(token="w" * 43).status, writer.sidecar.get().status]
                assert set(statuses) == {200, 403, 503}
                prometheus.wait_for_alerts(("CredentialsExpiring", "writer-0"), ("NoSuccessfulRefresh", "writer-0"))
                world.aws.faults.clear()
                writer.refresh("credentials_refreshed")
                reader.refresh("credentials_refreshed")
                prometheus.wait_for_alerts()

                world.set_up_trust(namespace=NAMESPACE, service_account="another")
                reader.refresh("exchange_failed")
                prometheus.wait_for_alerts(("TrustBroken", "reader-0"))
                world.set_up_trust(namespace=NAMESPACE, service_account=SERVICE_ACCOUNT)
                reader.refresh("credentials_refreshed")
                prometheus.wait_for_alerts()

                reader.kubelet.misbehave(Misbehaviour.EXPIRED)
                prometheus.wait_for_alerts(("TokenNotRotating", "reader-0"))
                reader.kubelet.heal()
                prometheus.wait_for_alerts()

                writer.sidecar.kill()
                prometheus.wait_for_alerts(("NotScraped", "writer-0"))
                # One step more, because the last step of a range can be before the last sample.
                yield Recording(prometheus, since, prometheus.now() + 1)
    world.reset()


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_query_gives_data(shown: Json, target: Json, recorded: Recording) -> None:
    series = recorded.series(target)
    values = [float(value) for one in series for _, value in one["values"]]
    assert not all(map(math.isnan, values)), shown["title"]


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_legend_has_the_labels_that_it_names(shown: Json, target: Json, recorded: Recording) -> None:
    named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    if shown["title"] == "Alerts":
        named.remove("profile")  # some alerts are for a whole pod
    assert all(named <= one["metric"].keys() for one in recorded.series(target))


def test_the_alerts_panel_shows_name_and_pod(recorded: Recording) -> None:
    assert recorded.labels("Alerts", "alertname") == {
        "AwsOidcSidecarCredentialsExpiring",
        "AwsOidcSidecarNoSuccessfulRefresh",
        "AwsOidcSidecarNotScraped",
        "AwsOidcSidecarTokenNotRotating",
        "AwsOidcSidecarTrustBroken",
    }


def test_the_outcomes_name_each_fault(recorded: Recording) -> None:
    assert recorded.labels("Exchanges by outcome", "outcome") >= {"success", "unreachable", "access_denied"}


def test_the_response_panels_show_served_and_rejected_requests(recorded: Recording) -> None:
    assert recorded.labels("Responses by status", "code") == {"200", "403", "503"}
    assert recorded.labels("Rejected requests by reason", "reason") == {"authorization_wrong", "no_credentials"}


def test_a_pod_without_credentials_is_counted_until_it_has_credentials(recorded: Recording) -> None:
    assert recorded.extremes("Profiles without credentials") == (0, 1)


def test_an_expired_token_has_no_time_left(recorded: Recording) -> None:
    least, most = recorded.extremes("Shortest time left: token")
    assert least == 0
    assert 3000 < most <= 3600


def test_failures_in_a_row_are_reset_by_a_success(recorded: Recording) -> None:
    least, most = recorded.extremes("Most failures in a row")
    assert least == 0
    assert most >= 1


def test_a_sidecar_that_does_not_run_is_counted(recorded: Recording) -> None:
    assert recorded.extremes("Sidecars not scraped") == (0, 1)


def test_the_table_joins_its_queries_by_the_same_columns(recorded: Recording) -> None:
    table = panel("Pods and profiles, shortest time left first")
    columns = [
        {frozenset(one["metric"].items() & {("namespace", NAMESPACE), ("pod", "reader-0"), ("profile", "default")})
         for one in recorded.series(target)}
        for target in table["targets"]
    ]  # fmt: skip
    assert all(len(each) == 1 and len(next(iter(each))) == 3 for each in columns)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: str(variable["name"]))
def test_every_variable_offers_the_values_of_the_series(variable: Json, recorded: Recording) -> None:
    matched = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert matched
    offered = recorded.prometheus.get(f"label/{matched[2]}/values", **{"match[]": filled_in(matched[1])})
    assert (
        offered == {"namespace": [NAMESPACE], "pod": ["reader-0", "writer-0"], "profile": ["default"]}[variable["name"]]
    )


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda runbook: str(runbook.stem))
def test_every_query_of_a_runbook_succeeds_at_any_time(runbook: Path, recorded: Recording) -> None:
    # Labels that do not match are an error only if there are samples.
    for query in re.findall(r"```promql\n(.+?)\n```", runbook.read_text(encoding="utf-8"), re.DOTALL):
        recorded.prometheus.query_range(query, recorded.since, recorded.until)


@pytest.mark.parametrize("shown", PANELS, ids=lambda shown: str(shown["title"]))
def test_a_panel_has_a_description_a_unit_and_thresholds(shown: Json) -> None:
    assert len(shown["description"]) > 20
    defaults = shown["fieldConfig"]["defaults"]
    assert defaults["unit"]
    colors = [step["color"] for step in defaults["thresholds"]["steps"]]
    assert colors
    if shown["type"] in {"stat", "state-timeline"}:
        assert "red" in colors
    assert {target["datasource"]["uid"] for target in shown["targets"]} == {"${datasource}"}


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_query_reads_only_the_selected_pods(shown: Json, target: Json) -> None:
    selectors = re.findall(r"\{([^}]*)\}", target["expr"])
    assert selectors, shown["title"]
    assert all('namespace=~"$namespace", pod=~"$pod"' in selector for selector in selectors)


def test_pods_of_the_same_name_in_two_namespaces_are_two_lines() -> None:
    for shown in PANELS:
        for target in shown["targets"]:
            groups = re.findall(r"(?:by|on) \(([^)]*\bpod\b[^)]*)\)", target["expr"])
            assert all("namespace" in group for group in groups), shown["title"]
            assert target["legendFormat"].count("{{pod}}") == target["legendFormat"].count("{{namespace}}/{{pod}}")


def test_every_metric_exists() -> None:
    assert metrics_in(json.dumps(DASHBOARD)) - documented_metrics() == set()


def test_no_panels_overlap() -> None:
    taken = [
        (x, y)
        for shown in DASHBOARD["panels"]
        for x in range(shown["gridPos"]["x"], shown["gridPos"]["x"] + shown["gridPos"]["w"])
        for y in range(shown["gridPos"]["y"], shown["gridPos"]["y"] + shown["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    ids = [shown["id"] for shown in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_rows_go_from_the_state_now_to_the_process() -> None:
    rows = [shown["title"] for shown in DASHBOARD["panels"] if shown["type"] == "row"]
    assert rows == ["State now", "Refreshes", "Serving", "Process"]
    heights = [shown["gridPos"]["y"] for shown in DASHBOARD["panels"]]
    assert all(above <= below for above, below in itertools.pairwise(heights))


def test_the_config_map_has_the_file_and_the_label_that_grafana_selects() -> None:
    made = one(render(MONITORING, namespace=NAMESPACE), "ConfigMap", "aws-aws-oidc-sidecar-dashboard")
    assert json.loads(made["data"]["aws-oidc-sidecar.json"]) == DASHBOARD
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    # With another uid each upgrade would add a dashboard.
    assert DASHBOARD["uid"] == "aws-oidc-sidecar"


def test_every_alert_has_a_colour_of_its_state() -> None:
    (mapping,) = panel("Alerts")["fieldConfig"]["defaults"]["mappings"]
    assert {value["text"] for value in mapping["options"].values()} == {"pending", "firing"}
