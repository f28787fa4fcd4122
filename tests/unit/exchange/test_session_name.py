from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from sidecar.exchange.session_name import make_session_name
from sidecar.iam.names import SESSION_NAME
from tests.helpers.values import token


@pytest.mark.rule("Kubernetes D9")
def test_the_session_name_has_the_namespace_and_the_pod() -> None:
    assert make_session_name(token(), "") == "default-aws-test"


def test_the_cluster_comes_first() -> None:
    assert make_session_name(token(), "prod-eu") == "prod-eu-default-aws-test"


def test_outside_kubernetes_the_session_name_is_made_from_the_subject() -> None:
    name = make_session_name(replace(token(), namespace="", pod="", subject="repo:acme"), "")
    assert name.startswith("repo-acme-")


@pytest.mark.rule("Kubernetes D9")
def test_two_long_names_that_differ_at_the_end_stay_different() -> None:
    one = make_session_name(replace(token(), pod="p" * 80 + "1"), "")
    two = make_session_name(replace(token(), pod="p" * 80 + "2"), "")
    assert one != two
    assert len(one) == len(two) == 64


def test_two_names_that_replacing_makes_equal_stay_different() -> None:
    one, two = (make_session_name(replace(token(), pod="", subject=text), "") for text in ("a:b", "a/b"))
    assert one != two


@pytest.mark.rule("SDK 27", "Kubernetes D9")
@given(st.text(max_size=90), st.text(max_size=90), st.text(max_size=90), st.text(max_size=40))
def test_sts_accepts_every_name(namespace: str, pod: str, subject: str, cluster: str) -> None:
    made = make_session_name(replace(token(), namespace=namespace, pod=pod, subject=subject), cluster)
    assert SESSION_NAME.fullmatch(made)
