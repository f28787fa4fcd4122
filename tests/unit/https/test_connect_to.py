"""``--connect-to``: its values, and the addresses of connections within the block."""

import http.client
import json
import os
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from examples.local.issuer import DISCOVERY_PATH, Issuer
from examples.local.world import World
from sidecar.https.connect_to import Target, parse_connect_to, redirected


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("issuer.test:443:127.0.0.1:8443", ("issuer.test", 443), ("127.0.0.1", 8443)),
        ("issuer.test:443:elsewhere.test:443", ("issuer.test", 443), ("elsewhere.test", 443)),
        ("Issuer.TEST:443:127.0.0.1:1", ("issuer.test", 443), ("127.0.0.1", 1)),
        ("issuer.test:443:[::1]:8443", ("issuer.test", 443), ("::1", 8443)),
        ("[2001:DB8::1]:65535:[::1]:65535", ("2001:db8::1", 65535), ("::1", 65535)),
    ],
)
def test_it_accepts_two_hosts_and_two_ports(text: str, source: Target, target: Target) -> None:
    assert parse_connect_to(text) == (source, target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "issuer.test",
        "issuer.test:443",
        "issuer.test:443:127.0.0.1",
        "issuer.test:443:127.0.0.1:8443:1",
        ":443:127.0.0.1:8443",
        "issuer.test::127.0.0.1:8443",
        "issuer.test:443::8443",
        "issuer.test:443:127.0.0.1:",
        "issuer.test:0:127.0.0.1:8443",
        "issuer.test:443:127.0.0.1:0",
        "issuer.test:443:127.0.0.1:65536",
        "issuer.test:https:127.0.0.1:8443",
        "issuer.test:443:::1:8443",
        "issuer.test:443:127.0.0.1:8443\n",
        "issuer test:443:127.0.0.1:8443",
        "issuer.test:443:[localhost]:8443",
    ],
)
def test_another_form_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"^not HOST:PORT:ADDRESS:PORT; write for example "):
        parse_connect_to(text)


def _status(host: str, authority: str) -> int:
    context = ssl.create_default_context(cadata=authority)
    connection = http.client.HTTPSConnection(host, context=context, timeout=5)
    try:
        connection.request("GET", DISCOVERY_PATH)
        return connection.getresponse().status
    finally:
        connection.close()


def test_http_client_is_redirected_and_tls_uses_the_name() -> None:
    with Issuer() as issuer:
        with redirected(issuer.connect_to):
            assert _status("issuer.test", issuer.ca_pem) == 200
            assert _status("ISSUER.test", issuer.ca_pem) == 200
        other = {("other.test", 443): issuer.connect_to["issuer.test", 443]}
        with redirected(other), pytest.raises(ssl.SSLCertVerificationError, match=r"other\.test"):
            _status("other.test", issuer.ca_pem)


def test_urllib_is_redirected() -> None:
    with Issuer() as issuer:
        context = ssl.create_default_context(cadata=issuer.ca_pem)
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        with redirected(issuer.connect_to), opener.open(issuer.url + DISCOVERY_PATH, timeout=5) as answer:
            assert answer.status == 200


def test_boto3_is_redirected(fresh_world: World) -> None:
    home = ("127.0.0.1", int(fresh_world.aws.url.rpartition(":")[2]))
    session = boto3.Session(
        fresh_world.aws.admin.access_key_id, fresh_world.aws.admin.secret_access_key, region_name="eu-central-1"
    )
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    client = session.client("sts", endpoint_url="http://sts.eu-central-1.amazonaws.com", config=config)
    try:
        with redirected({("sts.eu-central-1.amazonaws.com", 80): home}):
            assert client.get_caller_identity()["Account"] == fresh_world.aws.account_id
    finally:
        client.close()


@pytest.mark.parametrize("profile", [False, True])
def test_boto3_uses_no_proxy_for_a_redirected_host(
    fresh_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, profile: bool
) -> None:
    home = ("127.0.0.1", int(fresh_world.aws.url.rpartition(":")[2]))
    admin = fresh_world.aws.admin
    keys = f"aws_access_key_id = {admin.access_key_id}\naws_secret_access_key = {admin.secret_access_key}\n"
    root = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": root})
    arn = fresh_world.admin_client("iam").create_role(RoleName="Ops", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    (tmp_path / "config").write_text(f"[default]\n{keys}[profile ops]\nrole_arn = {arn}\nsource_profile = default\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "ops" if profile else "default",
        "AWS_ENDPOINT_URL": "http://sts.eu-central-1.amazonaws.com",
        "AWS_REGION": "eu-central-1",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "other.test",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    with redirected({("sts.eu-central-1.amazonaws.com", 80): home}):
        client = boto3.Session(region_name="eu-central-1").client("sts")
        try:
            assert client.get_caller_identity()["Account"] == fresh_world.aws.account_id
        finally:
            client.close()


@pytest.mark.parametrize(
    ("before", "within"),
    [
        ({}, "[::2],issuer.test"),
        ({"NO_PROXY": "a.test"}, "a.test,[::2],issuer.test"),
        ({"NO_PROXY": "a.test", "no_proxy": "b.test"}, "b.test,[::2],issuer.test"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_no_proxy_is_extended_within_the_block_and_restored(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], within: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    with redirected(
        {("issuer.test", 443): ("127.0.0.1", 1), ("issuer.test", 80): ("127.0.0.1", 1), ("::2", 443): ("::1", 1)}
    ):
        assert os.environ["no_proxy"] == within
    assert {name: os.environ[name] for name in ("NO_PROXY", "no_proxy") if name in os.environ} == before


def test_other_ports_and_other_hosts_are_not_redirected() -> None:
    with redirected({("127.0.0.1", 443): ("127.0.0.2", 8443)}):
        assert socket.getaddrinfo("127.0.0.1", 443)[0][4] == ("127.0.0.2", 8443)
        assert socket.getaddrinfo(b"127.0.0.1", "443")[0][4] == ("127.0.0.2", 8443)
        assert socket.getaddrinfo("127.0.0.1", 80)[0][4] == ("127.0.0.1", 80)
        assert socket.getaddrinfo("127.0.0.3", 443)[0][4] == ("127.0.0.3", 443)
        assert socket.getaddrinfo("127.0.0.1", None)[0][4] == ("127.0.0.1", 0)


def test_it_ends_with_its_block_also_after_an_error() -> None:
    before = socket.getaddrinfo
    with pytest.raises(urllib.error.URLError), redirected({("127.0.0.1", 443): ("127.0.0.2", 8443)}):
        raise urllib.error.URLError("")
    assert socket.getaddrinfo is before


def test_without_redirections_getaddrinfo_is_not_replaced() -> None:
    before = socket.getaddrinfo
    with redirected({}):
        assert socket.getaddrinfo is before
