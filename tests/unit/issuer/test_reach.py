"""The hosts that AWS cannot reach, by name and by address."""

import pytest

from sidecar.issuer.reach import are_private, why_inside


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://kubernetes.default.svc", "a name inside a cluster"),
        ("https://kubernetes.default.svc.cluster.local", "a name inside a cluster"),
        ("https://kubernetes.default.svc.example.org", "a name inside a cluster"),
        ("https://kubernetes.default.svc.cluster.local.", "a name inside a cluster"),
        ("https://KUBERNETES.Default.svc", "a name inside a cluster"),
        ("https://oidc.identity.svc", "a name inside a cluster"),
        ("https://kubernetes", "a name without a dot"),
        ("https://localhost:6443/path", "a name without a dot"),
        ("https://api.corp.internal", "not a name of public DNS"),
        ("https://printer.local/", "not a name of public DNS"),
        ("https://nas.home.arpa", "not a name of public DNS"),
        ("https://10.1", "not a name of public DNS"),
        ("https://10.0.0.1:6443", "a private address"),
        ("https://192.168.0.1", "a private address"),
        ("https://127.0.0.1", "a loopback address"),
        ("https://[::1]", "a loopback address"),
        ("https://169.254.169.254", "a link-local address"),
        ("https://[fe80::1]", "a link-local address"),
        ("https://[fd00::1]:6443", "a private address"),
        ("https://[::ffff:10.0.0.1]", "a private address"),
        ("https://100.64.0.1", "an address that is not public"),
    ],
)
def test_a_host_that_only_this_network_knows_is_inside(url: str, why: str) -> None:
    assert why_inside(url).endswith(f" is {why}")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.shoot.example.org",
        "https://api.shoot.test",
        "https://localhost.example.org",
        "https://internal.example.org",
        "https://svc.example.org",
        "https://8.8.8.8",
        "https://[2606:4700::1111]",
        "https://discovery.example.org/projects/shop/shoots/1/issuer",
        "https://[not-an-address",
        "https://",
    ],
)
def test_a_public_name_is_not_inside(url: str) -> None:
    assert why_inside(url) == ""


def test_one_public_address_is_enough() -> None:
    assert are_private(["10.0.0.1", "fd00::1"])
    assert not are_private(["10.0.0.1", "8.8.8.8"])
    assert not are_private([])
