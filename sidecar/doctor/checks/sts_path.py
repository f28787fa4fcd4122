"""Checks the network path to STS."""

from typing import Final

from sidecar.doctor.case import ISSUER_ONLY, Case
from sidecar.doctor.options import Place
from sidecar.doctor.result import Cause, Check, CheckResult, Finding, advice, broken, good, skipped, unknown
from sidecar.doctor.sts import Stage
from sidecar.exits import Exit

__all__ = ("CHECK",)

_NAME: Final = Cause(
    "sts_name",
    "the host name of STS cannot be resolved from here",
    "allow DNS in the NetworkPolicy, and check the spelling of the region: {region}",
    "getent hosts {sts_host}",
    Exit.UNREACHABLE,
)
_CONNECTION: Final = Cause(
    "sts_connection",
    "STS cannot be reached from here: a NetworkPolicy, a firewall or a proxy blocks the connection",
    "allow egress to {sts_host} on port {sts_port}; behind a proxy set HTTPS_PROXY in the sidecar",
    "curl -sv https://{sts_host}:{sts_port}/",
    Exit.UNREACHABLE,
)
_TLS: Final = Cause(
    "sts_tls",
    "the certificate at the address of STS is not trusted here: most likely a proxy intercepts TLS",
    "set AWS_CA_BUNDLE in the sidecar to the proxy's CA certificate, or exempt {sts_host} from interception",
    "openssl s_client -connect {sts_host}:{sts_port} -servername {sts_host} </dev/null",
    Exit.UNREACHABLE,
)


def _run(case: Case) -> CheckResult:
    if case.issuer_only:
        return skipped(ISSUER_ONLY)
    if case.place is Place.APPLICATION:
        return skipped("only the sidecar connects to STS")
    probe = case.sts
    if probe is None:
        return unknown("the SDK has no STS endpoint for this region and these settings")
    through = f" through proxy {probe.proxy}" if probe.proxy else ""
    evidence = f"{probe.host}:{probe.port}{through}: {probe.detail}"
    if probe.stage is Stage.ANSWERED:
        return good(evidence)
    if case.accepted:
        return advice(f"{evidence} (test request); the exchange succeeded")
    facts = case.facts | {"sts_host": probe.host, "sts_port": str(probe.port)}
    cause = {Stage.NAME: _NAME, Stage.TLS: _TLS}.get(probe.stage, _CONNECTION)
    return broken(evidence, Finding(cause, facts))


CHECK: Final = Check(
    "sts_path", "path to STS", "DNS, connection, proxy, TLS and HTTP, in this order", (_NAME, _CONNECTION, _TLS), _run
)
