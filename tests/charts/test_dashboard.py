"""The dashboard and the alerts, asked of a real Prometheus that watched the real daemon through faults."""

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
# What Grafana puts there for "All", and for the time between two points of a graph of some hours.
CHOSEN = {"namespace": NAMESPACE, "pod": ".+", "profile": ".+", "__rate_interval": "4m", "datasource": "prometheus"}

# The story takes half a minute, and the first test that needs it waits for it.
pytestmark = [needs_prometheus, pytest.mark.timeout(120)]


def filled_in(text: str) -> str:
    """Return a query with each variable replaced; one that is not known raises KeyError."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: CHOSEN[found[1] or found[2]], text)


@dataclass(frozen=True, slots=True)
class Story:
    """What happened.

    Attributes:
        prometheus: has seen it all.
        since: when it began, wall-clock seconds.
        until: when it was over.
    """

    prometheus: Prometheus
    since: float
    until: float

    def series(self, target: Json) -> list[Json]:
        """Return what a panel's query gives, as Grafana asks: over all of the time, or at its end."""
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
def story(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One fault after the other, each until its alerts fire, and its mend, until they are over.

    The alerts are those of the chart, without their ``for``.
    """
    world.reset()
    role = world.set_up_trust(namespace=NAMESPACE)
    (group,) = one(render(MONITORING, namespace=NAMESPACE), "PrometheusRule")["spec"]["groups"]
    for rule in group["rules"]:
        rule["for"] = "0s"
    directory = tmp_path_factory.mktemp("story")
    (directory / "prometheus").mkdir()
    with running_pod(world, role, "reader-0", directory / "reader") as reader:
        reader.sidecar.wait_for("credentials_renewed")
        world.aws.faults.set(FaultKind.DOWN)
        with running_pod(world, role, "writer-0", directory / "writer") as writer:
            targets = {"reader-0": reader.sidecar.admin_port, "writer-0": writer.sidecar.admin_port}
            with running_prometheus(directory / "prometheus", targets, [group]) as prometheus:
                since = prometheus.now()
                # STS is down: who has a set keeps it, who starts gets none.
                reader.renew("exchange_failed")
                statuses = [reader.sidecar.get().status for _ in range(20)]
                statuses += [reader.sidecar.get(token="w" * 43).status, writer.sidecar.get().status]
                assert set(statuses) == {200, 403, 503}
                prometheus.wait_for_alerts(("CredentialsExpiring", "writer-0"), ("NoSuccessfulRefresh", "writer-0"))
                world.aws.faults.clear()
                writer.renew("credentials_renewed")
                reader.renew("credentials_renewed")
                prometheus.wait_for_alerts()

                world.set_up_trust(namespace=NAMESPACE, service_account="somebody-else")
                reader.renew("exchange_failed")
                prometheus.wait_for_alerts(("TrustBroken", "reader-0"))
                world.set_up_trust(namespace=NAMESPACE, service_account=SERVICE_ACCOUNT)
                reader.renew("credentials_renewed")
                prometheus.wait_for_alerts()

                reader.kubelet.misbehave(Misbehaviour.EXPIRED)
                prometheus.wait_for_alerts(("TokenNotRotating", "reader-0"))
                reader.kubelet.heal()
                prometheus.wait_for_alerts()

                writer.sidecar.kill()
                prometheus.wait_for_alerts(("NotScraped", "writer-0"))
                # A step more, since the last of a range can lie before the last sample.
                yield Story(prometheus, since, prometheus.now() + 1)
    world.reset()


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_query_gives_data(shown: Json, target: Json, story: Story) -> None:
    series = story.series(target)
    values = [float(value) for one in series for _, value in one["values"]]
    assert not all(map(math.isnan, values)), shown["title"]


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_legend_has_the_labels_that_it_names(shown: Json, target: Json, story: Story) -> None:
    named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    if shown["title"] == "Alerts":
        named.remove("profile")  # some are of a pod as a whole
    assert all(named <= one["metric"].keys() for one in story.series(target))


def test_alerts_are_told_by_name_and_pod(story: Story) -> None:
    assert story.labels("Alerts", "alertname") == {
        "AwsOidcSidecarCredentialsExpiring",
        "AwsOidcSidecarNoSuccessfulRefresh",
        "AwsOidcSidecarNotScraped",
        "AwsOidcSidecarTokenNotRotating",
        "AwsOidcSidecarTrustBroken",
    }


def test_the_outcomes_name_each_fault(story: Story) -> None:
    assert story.labels("Exchanges by outcome", "outcome") >= {"success", "unreachable", "access_denied"}


def test_the_answers_show_what_was_served_and_what_was_refused(story: Story) -> None:
    assert story.labels("Answers by status", "code") == {"200", "403", "503"}
    assert story.labels("Refusals by cause", "cause") == {"authorization_wrong", "no_set"}


def test_a_pod_without_credentials_is_counted_until_it_has_some(story: Story) -> None:
    assert story.extremes("Profiles without credentials") == (0, 1)


def test_a_token_that_is_over_has_no_time_left(story: Story) -> None:
    least, most = story.extremes("Least time left: token")
    assert least == 0
    assert 3000 < most <= 3600


def test_failures_in_a_row_go_back_to_none(story: Story) -> None:
    least, most = story.extremes("Most failures in a row")
    assert least == 0
    assert most >= 1


def test_a_sidecar_that_is_gone_is_counted(story: Story) -> None:
    assert story.extremes("Sidecars not scraped") == (0, 1)


def test_the_table_joins_its_queries_by_the_same_columns(story: Story) -> None:
    table = panel("Pods and profiles, the worst first")
    columns = [
        {frozenset(one["metric"].items() & {("namespace", NAMESPACE), ("pod", "reader-0"), ("profile", "default")})
         for one in story.series(target)}
        for target in table["targets"]
    ]  # fmt: skip
    assert all(len(each) == 1 and len(next(iter(each))) == 3 for each in columns)


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: str(variable["name"]))
def test_every_variable_offers_what_there_is(variable: Json, story: Story) -> None:
    matched = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert matched
    offered = story.prometheus.get(f"label/{matched[2]}/values", **{"match[]": filled_in(matched[1])})
    assert (
        offered == {"namespace": [NAMESPACE], "pod": ["reader-0", "writer-0"], "profile": ["default"]}[variable["name"]]
    )


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda runbook: str(runbook.stem))
def test_every_query_of_a_runbook_can_be_asked_at_any_time(runbook: Path, story: Story) -> None:
    # Labels that do not match are an error only where there are samples.
    for query in re.findall(r"```promql\n(.+?)\n```", runbook.read_text(encoding="utf-8"), re.DOTALL):
        story.prometheus.query_range(query, story.since, story.until)


@pytest.mark.parametrize("shown", PANELS, ids=lambda shown: str(shown["title"]))
def test_a_panel_says_what_it_shows_in_which_unit_and_what_is_bad(shown: Json) -> None:
    assert len(shown["description"]) > 20
    defaults = shown["fieldConfig"]["defaults"]
    assert defaults["unit"]
    colors = [step["color"] for step in defaults["thresholds"]["steps"]]
    assert colors
    if shown["type"] in {"stat", "state-timeline"}:
        assert "red" in colors
    assert {target["datasource"]["uid"] for target in shown["targets"]} == {"${datasource}"}


@pytest.mark.parametrize(("shown", "target"), TARGETS)
def test_every_query_looks_at_the_pods_that_are_chosen_alone(shown: Json, target: Json) -> None:
    selectors = re.findall(r"\{([^}]*)\}", target["expr"])
    assert selectors, shown["title"]
    assert all('namespace=~"$namespace", pod=~"$pod"' in selector for selector in selectors)


def test_pods_of_the_same_name_in_two_namespaces_are_two_lines() -> None:
    for shown in PANELS:
        for target in shown["targets"]:
            groups = re.findall(r"(?:by|on) \(([^)]*\bpod\b[^)]*)\)", target["expr"])
            assert all("namespace" in group for group in groups), shown["title"]
            assert target["legendFormat"].count("{{pod}}") == target["legendFormat"].count("{{namespace}}/{{pod}}")


def test_every_metric_is_one_that_there_is() -> None:
    assert metrics_in(json.dumps(DASHBOARD)) - documented_metrics() == set()


def test_no_panel_lies_over_another() -> None:
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


def test_the_rows_are_in_the_order_in_which_one_asks() -> None:
    rows = [shown["title"] for shown in DASHBOARD["panels"] if shown["type"] == "row"]
    assert rows == ["State now", "Renewals", "Serving", "Process"]
    heights = [shown["gridPos"]["y"] for shown in DASHBOARD["panels"]]
    assert all(above <= below for above, below in itertools.pairwise(heights))


def test_the_config_map_holds_the_file_and_what_grafana_looks_for() -> None:
    made = one(render(MONITORING, namespace=NAMESPACE), "ConfigMap", "aws-aws-oidc-sidecar-dashboard")
    assert json.loads(made["data"]["aws-oidc-sidecar.json"]) == DASHBOARD
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    # Another would be another dashboard after each upgrade.
    assert DASHBOARD["uid"] == "aws-oidc-sidecar"


def test_every_alert_has_a_colour_of_its_state() -> None:
    (mapping,) = panel("Alerts")["fieldConfig"]["defaults"]["mappings"]
    assert {value["text"] for value in mapping["options"].values()} == {"pending", "firing"}
