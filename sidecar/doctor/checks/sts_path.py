"""The network path to STS."""

from typing import Final

from sidecar.doctor.case import Case, Place
from sidecar.doctor.sts import Step
from sidecar.doctor.verdict import Cause, Check, Exit, Finding, Verdict, advice, broken, good, skipped, unknown

__all__ = ("CHECK",)

_NAME: Final = Cause(
    "sts_name",
    "the name of STS cannot be resolved from here",
    "allow DNS in the NetworkPolicy, and check the region's spelling: {region}",
    "getent hosts {sts_host}",
    Exit.UNREACHABLE,
)
_CONNECTION: Final = Cause(
    "sts_connection",
    "STS cannot be reached from here: a NetworkPolicy, a firewall or a proxy is in the way",
    "allow egress to {sts_host} on port {sts_port}; behind a proxy set HTTPS_PROXY in the sidecar",
    "curl -sv https://{sts_host}:{sts_port}/",
    Exit.UNREACHABLE,
)
_TLS: Final = Cause(
    "sts_tls",
    "what answers in place of STS has a certificate that nobody here trusts: a proxy that opens TLS",
    "give its CA to the sidecar as AWS_CA_BUNDLE, or have the proxy leave {sts_host} alone",
    "openssl s_client -connect {sts_host}:{sts_port} -servername {sts_host} </dev/null",
    Exit.UNREACHABLE,
)


def _run(case: Case) -> Verdict:
    if case.place is Place.APPLICATION:
        return skipped("the sidecar asks STS, not the application")
    seen = case.sts
    if seen is None:
        return unknown("the SDK knows no endpoint of STS for this region and these settings")
    through = f" through the proxy {seen.proxy}" if seen.proxy else ""
    evidence = f"{seen.host}:{seen.port}{through}: {seen.detail}"
    if seen.step is Step.ANSWERED:
        return good(evidence)
    if case.accepted:
        return advice(f"{evidence}, to the doctor; the exchange went through")
    facts = case.facts | {"sts_host": seen.host, "sts_port": str(seen.port)}
    cause = {Step.NAME: _NAME, Step.TLS: _TLS}.get(seen.step, _CONNECTION)
    return broken(evidence, Finding(cause, facts))


CHECK: Final = Check(
    "sts_path", "way to STS", "DNS, connection, proxy, TLS and HTTP, in this order", (_NAME, _CONNECTION, _TLS), _run
)
