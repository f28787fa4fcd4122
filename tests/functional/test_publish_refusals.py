"""``aws-oidc-sidecar publish-issuer``: the errors of publishing, and the differences that ``--check`` finds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local.keys import SigningKey
from examples.local.pki import Authority
from examples.local.world import World
from sidecar.errors import SettingsError
from tests.functional.published import URL, Done, PublishSetup, setup as publish_setup
from tests.unit.https.site import reply, serving

FIX = "check that this is the URL of the API server or of the published documents, and that no proxy changes the path"
DISCOVERY, KEYS = ".well-known/openid-configuration", "openid/v1/jwks"


@pytest.fixture
def setup(fresh_world: World, tmp_path: Path) -> Iterator[PublishSetup]:
    with publish_setup(fresh_world, tmp_path) as running:
        yield running


def stopped(done: Done) -> tuple[int, str]:
    """Return the exit code and the error, which is one line."""
    assert done.out == ""
    assert done.err.startswith("aws-oidc-sidecar: ")
    assert done.err.count("\n") == 1
    assert "; " in done.err, "the error has no fix"
    return done.code, done.err.removeprefix("aws-oidc-sidecar: ").rstrip("\n")


def nothing_is_published(setup: PublishSetup) -> bool:
    return not setup.directory.exists()


# --- the cluster ---


def test_another_issuer_than_that_of_the_cluster_is_rejected(setup: PublishSetup) -> None:
    setup.cluster.advertised_issuer = "https://kubernetes.default.svc.cluster.local"
    code, line = stopped(setup.publish())
    assert (code, nothing_is_published(setup)) == (5, True)
    assert line.startswith(
        f"--issuer: the iss of the cluster's tokens is https://kubernetes.default.svc.cluster.local, not {URL}; "
    )


def test_allow_issuer_mismatch_accepts_another_issuer(setup: PublishSetup) -> None:
    setup.cluster.advertised_issuer = "https://kubernetes.default.svc.cluster.local"
    assert setup.publish("--allow-issuer-mismatch").code == 0
    assert json.loads((setup.directory / DISCOVERY).read_bytes())["issuer"] == URL
    assert setup.check("--allow-issuer-mismatch").code == 0


def test_an_api_server_that_denies_the_token_is_exit_code_6(setup: PublishSetup) -> None:
    (setup.files / "token").write_text("another")
    code, line = stopped(setup.publish())
    assert (code, nothing_is_published(setup)) == (6, True)
    assert "another" not in line
    assert "HTTP 403 with a Status of an API server; " in line


def test_an_api_server_with_an_unknown_ca_is_exit_code_5_and_gets_no_token(setup: PublishSetup) -> None:
    (setup.files / "ca.crt").write_text(Authority("issuer CA").pem)
    code, line = stopped(setup.publish())
    assert (code, nothing_is_published(setup)) == (5, True)
    assert "does not verify" in line
    assert "--ca-file" in line


def test_without_a_ca_file_a_private_api_server_is_rejected(setup: PublishSetup) -> None:
    host, port = setup.cluster.connect_to["published.test", 443]
    setup.cluster.bearer = None
    given = ["--issuer", URL, "--to", str(setup.directory), "--from", f"https://{host}:{port}"]
    code, line = stopped(setup.command(*given))
    assert (code, nothing_is_published(setup)) == (5, True)
    assert "does not verify" in line
    assert setup.command(*given, "--ca-file", str(setup.files / "ca.crt")).code == 0


def test_a_given_api_server_does_not_get_the_token_of_the_pod(setup: PublishSetup) -> None:
    host, port = setup.cluster.connect_to["published.test", 443]
    given = ["--issuer", URL, "--to", str(setup.directory), "--from", f"https://{host}:{port}/"]
    ca = ["--ca-file", str(setup.files / "ca.crt")]
    assert stopped(setup.command(*given, *ca, **setup.environment))[0] == 6
    assert setup.command(*given, *setup.source, **setup.environment).code == 0


def test_an_unreachable_api_server_is_exit_code_3(setup: PublishSetup) -> None:
    given = ["--issuer", URL, "--to", str(setup.directory), "--from", "https://127.0.0.1:1", *setup.source]
    code, line = stopped(setup.command(*given))
    assert (code, nothing_is_published(setup)) == (3, True)
    assert line.startswith("https://127.0.0.1:1/.well-known/openid-configuration: no connection (Connection refused); ")


def test_a_temporary_error_of_the_api_server_is_exit_code_3(setup: PublishSetup) -> None:
    with serving(reply(503), setup.cluster.authority) as home:
        host, port = home["issuer.test", 443]
        given = ["--issuer", URL, "--to", str(setup.directory), "--from", "https://issuer.test", *setup.source]
        code, line = stopped(setup.command(*given, "--connect-to", f"issuer.test:443:{host}:{port}"))
    assert (code, nothing_is_published(setup)) == (3, True)
    assert "HTTP 503 with unknown content; " in line


def test_a_server_without_the_documents_is_exit_code_5(setup: PublishSetup) -> None:
    host, port = setup.site.address
    (setup.files / "ca.crt").write_text(setup.site.authority.pem)
    given = ["--issuer", URL, "--to", str(setup.directory), "--from", f"https://published.test:{port}"]
    code, line = stopped(setup.command(*given, *setup.source, "--connect-to", f"published.test:{port}:{host}:{port}"))
    assert (code, nothing_is_published(setup)) == (5, True)
    assert "HTTP 404 with unknown content; " in line


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ({"d": "AQAB"}, "key 2 has the private member d"),
        ({"kty": "OKP"}, "key 2 has a kty that AWS does not accept"),
        ({"kid": ""}, "key 2 has no kid"),
        ({"n": None}, "key 2 has no valid n"),
    ],
)
def test_a_key_set_with_a_forbidden_key_is_rejected_completely(
    setup: PublishSetup, tmp_path: Path, key: dict[str, Any], what: str
) -> None:
    options = setup.kubectl_get(tmp_path)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [SigningKey().jwk(), SigningKey().jwk() | key]}))
    code, line = stopped(setup.command("--issuer", URL, "--to", str(setup.directory), *options))
    assert (code, nothing_is_published(setup)) == (5, True)
    assert line.startswith(f"{tmp_path / 'keys.json'}: {what}")


@pytest.mark.parametrize("name", ["discovery.json", "keys.json"])
def test_an_invalid_file_is_exit_code_5(setup: PublishSetup, tmp_path: Path, name: str) -> None:
    options = setup.kubectl_get(tmp_path)
    (tmp_path / name).write_text("error: You must be logged in to the server\n")
    code, line = stopped(setup.command("--issuer", URL, "--to", str(setup.directory), *options))
    assert (code, line.partition("; ")[0]) == (5, f"{tmp_path / name}: is not JSON")


# --- the directory ---


def test_a_directory_with_documents_of_another_issuer_is_rejected(setup: PublishSetup) -> None:
    setup.publish()
    document = (setup.directory / DISCOVERY).read_text()
    (setup.directory / DISCOVERY).write_text(document.replace(URL, "https://other.test"))
    with pytest.raises(SettingsError) as caught:
        setup.publish()
    assert caught.value.what == "contains the documents of https://other.test"


@pytest.mark.parametrize(
    "content", ["", "{}", '{"keys": [{"kty": "RSA", "kid": "a", "n": "AQ", "e": "AQ", "d": "AQ"}]}']
)
def test_a_published_key_set_that_cannot_be_kept_is_not_replaced(setup: PublishSetup, content: str) -> None:
    setup.publish()
    (setup.directory / KEYS).write_text(content)
    code, line = stopped(setup.publish())
    assert (code, (setup.directory / KEYS).read_text()) == (5, content)
    assert line.startswith(f"{setup.directory / KEYS}: ")


@pytest.mark.parametrize("name", ["a file", "x" * 300])
def test_a_directory_that_cannot_be_written_is_reported(setup: PublishSetup, tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(SettingsError, match=r": cannot be (written|read) \("):
        setup.command("--issuer", URL, "--to", str(tmp_path / name), *setup.source, **setup.environment)


# --- options ---


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (["--issuer", "https://published.test/?"], "--issuer"),
        (["--issuer", "https://published.test:443"], "--issuer"),
        (["--jwks-uri", "http://published.test/keys"], "--jwks-uri"),
        (["--jwks-uri", "https://10.0.0.10:6443/openid/v1/jwks"], "--jwks-uri"),
        (["--issuer", "https://kubernetes.default.svc.cluster.local"], "--issuer"),
        (["--keep", "1d"], "--keep"),
        (["--keep", ""], "--keep"),
        (["--keep", "-1"], "--keep"),
        (["--connect-to", "published.test"], "--connect-to"),
        (["--from", "published.test"], "--from"),
        (["--from-discovery", "a"], "--from-discovery and --from-keys"),
        (["--from-keys", "a"], "--from-discovery and --from-keys"),
        (["--from-discovery", "a", "--from-keys", "b", "--token-file", "c"], "--from-discovery"),
        (["--from-discovery", "a", "--from-keys", "b", "--from", "https://c"], "--from-discovery"),
        ([], "--from"),
        (["--from-discovery", "/does-not/exist", "--from-keys", "/does-not/exist"], "/does-not/exist"),
        (["--from", "https://c", "--token-file", "/does-not/exist"], "/does-not/exist"),
        (["--from", "https://c", "--ca-file", "/does-not/exist"], "/does-not/exist"),
    ],
)
def test_an_invalid_option_is_rejected_by_name(setup: PublishSetup, options: list[str], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        setup.command("--issuer", URL, "--to", str(setup.directory), *options)
    assert caught.value.where == where
    assert nothing_is_published(setup)


@pytest.mark.parametrize("options", [[], ["--to", "x", "--check"], ["--to", "x", "--keep", "1", "--prune"]])
def test_wrong_usage_is_exit_code_2(setup: PublishSetup, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        setup.command("--issuer", URL, *options)
    assert caught.value.code == 2


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"a\nb", b"x" * 70_000])
def test_an_invalid_token_is_not_sent(setup: PublishSetup, content: bytes) -> None:
    (setup.files / "token").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        setup.publish()
    assert (caught.value.where, caught.value.what) == (str(setup.files / "token"), "contains no token")


# --- --check ---


def test_check_accepts_current_documents(setup: PublishSetup) -> None:
    setup.publish()
    done = setup.check()
    assert (done.code, done.out) == (0, f"good: {URL} serves all 1 keys of the cluster\n")
    assert setup.check("--json").json == {"issuer": URL, "good": True, "differences": [], "extra": []}


def test_check_accepts_and_names_a_key_that_only_is_published(setup: PublishSetup) -> None:
    setup.publish()
    (kid,) = setup.cluster.kids
    setup.cluster.rotate_key()
    setup.cluster.retire_old_keys()
    setup.publish()
    done = setup.check()
    assert done.code == 0
    assert done.out.startswith(f"key {kid} is published, and the cluster does not have it now\n")
    assert setup.check("--json").json["extra"] == [kid]


@pytest.mark.parametrize("name", [DISCOVERY, KEYS])
def test_an_unpublished_document_is_exit_code_7(setup: PublishSetup, name: str) -> None:
    setup.publish()
    (setup.directory / name).unlink()
    done = setup.check()
    assert (done.code, done.out) == (
        7,
        f"{URL}/{name} has no valid document (HTTP 404): AWS denies each exchange; {FIX}\n",
    )


@pytest.mark.parametrize("name", [DISCOVERY, KEYS])
def test_an_invalid_published_document_is_exit_code_7(setup: PublishSetup, name: str) -> None:
    setup.publish()
    (setup.directory / name).write_text("<html>")
    done = setup.check("--json")
    assert (done.code, [difference["kind"] for difference in done.json["differences"]]) == (7, ["document"])


@pytest.mark.parametrize(("name", "value"), [("issuer", URL + "/"), ("jwks_uri", f"{URL}/{KEYS}?")])
def test_a_published_document_with_another_value_is_exit_code_7(setup: PublishSetup, name: str, value: str) -> None:
    setup.publish()
    path = setup.directory / DISCOVERY
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    done = setup.check("--json")
    assert (done.code, done.json["differences"][-1]["kind"]) == (7, name)


def test_an_unexpected_jwks_uri_that_is_unreachable_is_exit_code_7(setup: PublishSetup) -> None:
    setup.publish("--jwks-uri", "https://keys.invalid/jwks")
    assert setup.check().code == 7
    assert stopped(setup.check("--jwks-uri", "https://keys.invalid/jwks"))[0] == 3


def test_an_unreachable_issuer_is_exit_code_3(setup: PublishSetup) -> None:
    given = ["--issuer", URL, "--check", "--connect-to", "published.test:443:127.0.0.1:1", *setup.source]
    assert stopped(setup.command(*given, **setup.environment))[0] == 3


def test_an_invalid_certificate_is_exit_code_5(setup: PublishSetup, tmp_path: Path) -> None:
    setup.publish()
    ca = tmp_path / "site.crt"
    ca.write_text(setup.site.authority.pem)
    assert setup.check("--issuer-ca", str(ca)).code == 0
    ca.write_text(Authority("site CA").pem)
    code, line = stopped(setup.check("--issuer-ca", str(ca)))
    assert code == 5
    assert "--issuer-ca" in line


def test_check_reaches_a_host_of_connect_to_without_the_proxy(
    setup: PublishSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    setup.publish()
    assert setup.check().code == 0


def test_a_check_writes_nothing(setup: PublishSetup) -> None:
    setup.check()
    assert nothing_is_published(setup)
