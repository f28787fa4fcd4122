from dataclasses import replace

from hypothesis import given, strategies as st

from sidecar.exchange.session_name import SESSION_NAME, session_name
from tests.helpers.values import token


def test_it_names_the_namespace_and_the_pod() -> None:
    assert session_name(token(), "") == "default-aws-test"


def test_the_cluster_comes_first() -> None:
    assert session_name(token(), "prod-eu") == "prod-eu-default-aws-test"


def test_outside_kubernetes_it_is_made_from_the_subject() -> None:
    name = session_name(replace(token(), namespace="", pod="", subject="repo:acme"), "")
    assert name.startswith("repo-acme-")


def test_two_long_names_that_differ_at_the_end_stay_different() -> None:
    one = session_name(replace(token(), pod="p" * 80 + "1"), "")
    two = session_name(replace(token(), pod="p" * 80 + "2"), "")
    assert one != two
    assert len(one) == len(two) == 64


def test_two_names_that_cleaning_makes_alike_stay_different() -> None:
    one, two = (session_name(replace(token(), pod="", subject=text), "") for text in ("a:b", "a/b"))
    assert one != two


@given(st.text(max_size=90), st.text(max_size=90), st.text(max_size=90), st.text(max_size=40))
def test_sts_takes_every_name(namespace: str, pod: str, subject: str, cluster: str) -> None:
    made = session_name(replace(token(), namespace=namespace, pod=pod, subject=subject), cluster)
    assert SESSION_NAME.fullmatch(made)
