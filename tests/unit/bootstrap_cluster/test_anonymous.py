"""What is printed for an API server of each version, and which hosts AWS cannot know."""

import pytest
from ruamel.yaml import YAML

from sidecar.bootstrap_cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO, authentication_configuration, is_inside


@pytest.mark.parametrize(("minor", "version"), [(None, "v1"), (40, "v1"), (34, "v1"), (33, "v1beta1"), (32, "v1beta1")])
def test_the_configuration_has_exactly_the_two_paths(minor: int | None, version: str) -> None:
    assert YAML(typ="safe").load(authentication_configuration(minor)) == {
        "apiVersion": f"apiserver.config.k8s.io/{version}",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in DOCUMENTS]},
    }


def test_before_1_32_there_is_nothing_but_comments() -> None:
    lines = authentication_configuration(31).splitlines()
    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize("minor", [None, 36, 33, 31])
def test_it_never_says_that_the_configuration_alone_is_enough(minor: int | None) -> None:
    assert "The binding is needed as well." in authentication_configuration(minor)


def test_what_kubernetes_opens_itself_is_not_too_wide() -> None:
    assert not set(BEYOND) & {*DOCUMENTS, *PUBLIC_INFO}


@pytest.mark.parametrize(
    "url",
    [
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default.svc.example.org",
        "https://kubernetes.default.svc.cluster.local.",
        "https://KUBERNETES.Default.svc",
        "https://kubernetes",
        "https://api.corp.internal",
        "https://printer.local/",
        "https://10.0.0.1:6443",
        "https://127.0.0.1",
        "https://[fd00::1]:6443",
        "https://100.64.0.1",
    ],
)
def test_a_host_of_this_network_alone_is_inside(url: str) -> None:
    assert is_inside(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.shoot.example.org",
        "https://api.shoot.test",
        "https://localhost.example.org",
        "https://internal.example.org",
        "https://8.8.8.8",
        "https://discovery.example.org/projects/shop/shoots/1/issuer",
        "https://[not-an-address",
    ],
)
def test_a_public_name_is_not(url: str) -> None:
    assert not is_inside(url)
