"""The configuration for each version of the API server."""

import pytest
from ruamel.yaml import YAML

from sidecar.cluster.anonymous import BEYOND, DOCUMENTS, PUBLIC_INFO, authentication_configuration


@pytest.mark.parametrize(("minor", "version"), [(None, "v1"), (40, "v1"), (34, "v1"), (33, "v1beta1"), (32, "v1beta1")])
def test_the_configuration_has_exactly_the_two_paths(minor: int | None, version: str) -> None:
    assert YAML(typ="safe").load(authentication_configuration(minor)) == {
        "apiVersion": f"apiserver.config.k8s.io/{version}",
        "kind": "AuthenticationConfiguration",
        "anonymous": {"enabled": True, "conditions": [{"path": path} for path in DOCUMENTS]},
    }


def test_before_1_32_the_configuration_is_only_comments() -> None:
    lines = authentication_configuration(31).splitlines()
    assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize("minor", [None, 36, 33, 31])
def test_it_never_says_that_the_configuration_alone_is_enough(minor: int | None) -> None:
    assert "The binding is needed as well." in authentication_configuration(minor)


def test_what_kubernetes_opens_itself_is_not_too_wide() -> None:
    assert not set(BEYOND) & {*DOCUMENTS, *PUBLIC_INFO}
