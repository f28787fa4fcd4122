"""Writes the documents that are made from the code; ``--check`` fails where one has drifted.

python scripts/generate.py           write them
python scripts/generate.py --check   exit 7 and name the ones that differ
"""

import sys
from pathlib import Path

from prometheus_client.core import Metric

from sidecar.clock import SystemClock
from sidecar.credentials.lifecycle import TABLE
from sidecar.credentials.states import Phase
from sidecar.credentials.store import Store
from sidecar.doctor.table import CAUSES, CHECKS
from sidecar.doctor.verdict import Finding
from sidecar.endpoint.server import CredentialServer
from sidecar.metrics import PREFIX, Metrics
from sidecar.model import Profile
from sidecar.options import OPTIONS
from sidecar.profiles import KEYS

ROOT = Path(__file__).parent.parent
NOTE = "<!-- Made by `make generate` from {source}; edit that. -->\n\n"
EXIT_DRIFT = 7


def configuration() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings of `aws-oidc-sidecar run`\n",
        NOTE.format(source="`sidecar/options.py`")
        + "A flag wins over its `AWS_OIDC_SIDECAR_*` variable, which wins over "
        "the variables that others made known. A variable that is set but empty counts as not set. "
        "`aws-oidc-sidecar run --check-config` prints what is in force and where each value comes from.\n",
        "| flag | variables | default | what it is |",
        "|---|---|---|---|",
    ]
    for option in OPTIONS:
        variables = ", ".join(f"`{name}`" for name in (option.variable, *option.others))
        default = f"`{option.default}`" if option.default else "(empty)"
        lines.append(f"| `--{option.name}` | {variables} | {default} | {option.help.replace('|', chr(92) + '|')} |")
    lines += [
        "\n## Keys of a profile\n",
        (
            "`--profiles-file` names a file in the syntax of `~/.aws/config`: a section `[default]` or `[profile <name>]` "  # noqa: E501
            "for each role. What a profile does not say comes from the settings above. A profile with `source_profile` "
            "is chained: its role is assumed with that profile's set. The file is read again when it changes; one that "
            "cannot be used is reported, and the profiles stay as they were. A profile that changes starts anew.\n"
        ),
        "| key | what it is |",
        "|---|---|",
        *(f"| `{name}` | {key.help} |" for name, key in KEYS.items()),
    ]
    return "\n".join(lines) + "\n"


def lifecycle() -> str:
    """Return the page of the state table, with its diagram."""
    lines = [
        "# The life of one profile's credentials\n",
        NOTE.format(source="`sidecar/credentials/lifecycle.py`")
        + "Every (phase, event) that can happen, and every phase "
        "that it may lead to. Anything else raises. `sidecar/credentials/lifecycle.py` states the laws.\n",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {Phase.WAITING}",
    ]
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (phase, event), row in TABLE.items():
        for target in row.targets:
            if target is not phase:
                arrows.setdefault((phase, target), []).append(event.__name__)
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    lines += ["```\n", "| phase | event | handler | may lead to |", "|---|---|---|---|"]
    lines += [
        f"| {phase} | {event.__name__} | `{row.handle.__name__.strip('_')}` | {', '.join(row.targets)} |"
        for (phase, event), row in TABLE.items()
    ]
    return "\n".join(lines) + "\n"


# Where the values of a label come from that are not a closed list.
OPEN_LABELS = {
    "profile": "every profile of the settings",
    "role_arn": "the profile's role",
    "version": "the version of this program",
}
# What one asks of a metric, where that is not plain. `$P` is the prefix.
QUERIES = {
    "build_info": "count by (version) ($P_build_info)",
    "token_expiration_timestamp_seconds": "$P_token_expiration_timestamp_seconds - time() < 300",
    "token_rotations_total": "increase($P_token_rotations_total[2h]) == 0",
    "token_read_errors_total": "sum by (reason) (increase($P_token_read_errors_total[15m])) > 0",
    "sts_requests_total": 'sum by (profile, outcome) (increase($P_sts_requests_total{outcome!="success"}[15m])) > 0',
    "sts_request_duration_seconds": (
        "histogram_quantile(0.99, sum by (le) (rate($P_sts_request_duration_seconds_bucket[1h])))"
    ),
    "refresh_lateness_seconds": "increase($P_refresh_lateness_seconds_count[1h]) - ignoring (le) "
    'increase($P_refresh_lateness_seconds_bucket{le="60.0"}[1h]) > 0',
    "credentials_last_refresh_success_timestamp_seconds": (
        "time() - ($P_credentials_last_refresh_success_timestamp_seconds > 0) > 3600"
    ),
    "profiles_reloads_total": 'increase($P_profiles_reloads_total{outcome="refused"}[15m]) > 0',
    "profile_info": "$P_credentials_ready * on (instance, profile) group_left (role_arn) $P_profile_info",
    "credentials_expiration_timestamp_seconds": ("($P_credentials_expiration_timestamp_seconds > 0) - time() < 600"),
    "credentials_renewal_timestamp_seconds": "time() - ($P_credentials_renewal_timestamp_seconds > 0) > 300",
    "credentials_ready": "min by (namespace, pod, profile) ($P_credentials_ready) == 0",
    "exchange_consecutive_failures": "$P_exchange_consecutive_failures >= 5",
    "http_requests_total": 'sum by (code, cause) (rate($P_http_requests_total{code!="200"}[5m])) > 0',
    "http_connections_refused_total": "sum by (which) (rate($P_http_connections_refused_total[5m])) > 0",
    "served_remaining_life_seconds": ('increase($P_served_remaining_life_seconds_bucket{le="900.0"}[1h]) > 0'),
}


def metrics() -> str:
    """Return the page of all metrics, from a registry as a daemon has it."""
    profile = Profile("default", "arn", "", 3600, "", "")
    made = Metrics("0", [profile], SystemClock())
    made.read_server(CredentialServer(Store(["default"]), {"default": "token"}, SystemClock()))
    families = list(made.registry.collect())
    names = {_full_name(family): family for family in families}
    own = {name.removeprefix(f"{PREFIX}_"): family for name, family in names.items() if name.startswith(PREFIX)}
    if unknown := QUERIES.keys() - own.keys():
        raise LookupError(f"a query for a metric that there is not: {sorted(unknown)}")
    others = ", ".join(f"`{name}`" for name in names if not name.startswith(PREFIX))
    lines = [
        "# Metrics of `aws-oidc-sidecar run`\n",
        NOTE.format(source="`sidecar/metrics.py`")
        + "`GET /metrics` of the admin port, in the Prometheus text format. Every series is there from the first "
        "scrape, with 0, so that a rate sees the first increase. Times are wall-clock seconds since 1970, not ages. "
        "Nothing secret is in a label, and no label has values that an outsider chooses. Namespace and pod come from "
        "the scrape.\n\nThe queries show what a metric is for; their thresholds fit a session of one hour. A histogram "
        f"also has `_bucket`, `_sum` and `_count`. The Python client adds {others}.\n",
        "| metric | type | labels | what it is |",
        "|---|---|---|---|",
        *(_row(name, family) for name, family in own.items()),
        "\n## Queries\n",
        *(
            f"`{PREFIX}_{name}`:\n\n```promql\n{QUERIES[name].replace('$P', PREFIX)}\n```\n"
            for name in own
            if name in QUERIES
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _full_name(family: Metric) -> str:
    return family.name + ("_total" if family.type == "counter" else "")


def _row(name: str, family: Metric) -> str:
    labels: dict[str, dict[str, None]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            labels.setdefault(label, {})[value] = None
    shown = [
        f"`{label}`: {OPEN_LABELS.get(label) or ', '.join(f'`{value}`' for value in values)}"
        for label, values in labels.items()
        if label != "le"
    ]
    return f"| `{PREFIX}_{name}` | {family.type} | {'; '.join(shown)} | {family.documentation} |"


def doctor() -> str:
    """Return the page of all links that the doctor looks at, and all causes that it can name."""
    lines = [
        (ROOT / "scripts" / "doctor.md")
        .read_text("utf-8")
        .format(note=NOTE.format(source="`sidecar/doctor/` and `scripts/doctor.md`")),
        "## The links, in their order\n",
        "| link | `name` | what is looked at | causes it can name |",
        "|---|---|---|---|",
    ]
    for check in CHECKS:
        causes = ", ".join(f"[`{cause.name}`](#{cause.name})" for cause in check.causes) or "none"
        lines.append(f"| {check.title} | `{check.name}` | {check.looks_at} | {causes} |")
    lines.append("\n## The causes\n\n`<...>` stands for what the doctor knows of your case.\n")
    for cause in sorted(CAUSES, key=lambda cause: cause.name):
        finding = Finding(cause)
        lines += [f"### {cause.name}\n", _sentence(finding.text(cause.what)) + "\n"]
        lines.append(f"- Mend: {finding.text(cause.mend)}")
        if cause.decide:
            lines.append(f"- Decide whether it is this one: `{finding.text(cause.decide)}`")
        lines.append(f"- Exit code {cause.exit_code}\n" if cause.exit_code else "- Only ever advice: exit code 0\n")
    return "\n".join(lines).rstrip() + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


PAGES = {
    "docs/configuration.md": configuration,
    "docs/design/lifecycle.md": lifecycle,
    "docs/doctor.md": doctor,
    "docs/metrics.md": metrics,
}


def main(arguments: list[str]) -> int:
    """Write or check all pages; return the exit code."""
    drifted = []
    for name, make in PAGES.items():
        path, text = ROOT / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if arguments == ["--check"]:
            drifted.append(name)
        else:
            path.write_text(text, encoding="utf-8")
    for name in drifted:
        print(f"{name} differs from the code: run `make generate`", file=sys.stderr)
    return EXIT_DRIFT if drifted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
