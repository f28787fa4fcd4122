"""``aws-oidc-sidecar publish-issuer``: what it does not publish, what it says instead, and what ``--check`` finds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.local.keys import SigningKey
from examples.local.pki import Authority
from examples.local.world import World
from sidecar.errors import SettingsError
from tests.functional.published import URL, Done, Stage, stage as set_stage
from tests.unit.issuer.site import reply, serving

DISCOVERY, KEYS = ".well-known/openid-configuration", "openid/v1/jwks"


@pytest.fixture
def stage(fresh_world: World, tmp_path: Path) -> Iterator[Stage]:
    with set_stage(fresh_world, tmp_path) as running:
        yield running


def stopped(done: Done) -> tuple[int, str]:
    """Return the exit code and the one line that says why."""
    assert done.out == ""
    assert done.err.startswith("aws-oidc-sidecar: ")
    assert done.err.count("\n") == 1
    assert "; " in done.err, "no word on what to do"
    return done.code, done.err.removeprefix("aws-oidc-sidecar: ").rstrip("\n")


def nothing_is_published(stage: Stage) -> bool:
    return not stage.directory.exists()


# --- the cluster ---


def test_another_issuer_than_the_clusters_own_is_refused(stage: Stage) -> None:
    stage.cluster.advertised_issuer = "https://kubernetes.default.svc.cluster.local"
    code, line = stopped(stage.publish())
    assert (code, nothing_is_published(stage)) == (5, True)
    assert line.startswith(
        f"--issuer: the iss of the cluster's tokens is https://kubernetes.default.svc.cluster.local, not {URL}; "
    )


def test_while_the_issuer_is_being_changed_another_is_taken(stage: Stage) -> None:
    stage.cluster.advertised_issuer = "https://kubernetes.default.svc.cluster.local"
    assert stage.publish("--moving").code == 0
    assert json.loads((stage.directory / DISCOVERY).read_bytes())["issuer"] == URL
    assert stage.check("--moving").code == 0


def test_without_a_token_that_the_api_server_takes_it_is_6(stage: Stage) -> None:
    (stage.files / "token").write_text("another")
    code, line = stopped(stage.publish())
    assert (code, nothing_is_published(stage)) == (6, True)
    assert "another" not in line
    assert "HTTP 403; " in line


def test_an_api_server_that_its_ca_does_not_vouch_for_is_5_and_gets_no_token(stage: Stage) -> None:
    (stage.files / "ca.crt").write_text(Authority("issuer CA").pem)
    code, line = stopped(stage.publish())
    assert (code, nothing_is_published(stage)) == (5, True)
    assert "does not verify" in line
    assert "--ca-file" in line


def test_without_a_ca_no_api_server_vouches_for_itself(stage: Stage) -> None:
    host, port = stage.cluster.connect_to["published.test", 443]
    stage.cluster.bearer = None
    given = ["--issuer", URL, "--to", str(stage.directory), "--from", f"https://{host}:{port}"]
    code, line = stopped(stage.command(*given))
    assert (code, nothing_is_published(stage)) == (5, True)
    assert "does not verify" in line
    assert stage.command(*given, "--ca-file", str(stage.files / "ca.crt")).code == 0


def test_an_api_server_that_is_named_gets_no_token_that_is_not(stage: Stage) -> None:
    host, port = stage.cluster.connect_to["published.test", 443]
    given = ["--issuer", URL, "--to", str(stage.directory), "--from", f"https://{host}:{port}/"]
    ca = ["--ca-file", str(stage.files / "ca.crt")]
    assert stopped(stage.command(*given, *ca, **stage.environment))[0] == 6
    assert stage.command(*given, *stage.source, **stage.environment).code == 0


def test_an_api_server_that_is_not_there_is_3(stage: Stage) -> None:
    given = ["--issuer", URL, "--to", str(stage.directory), "--from", "https://127.0.0.1:1", *stage.source]
    code, line = stopped(stage.command(*given))
    assert (code, nothing_is_published(stage)) == (3, True)
    assert line.startswith("https://127.0.0.1:1/.well-known/openid-configuration: no connection (Connection refused); ")


def test_an_api_server_that_is_not_well_is_3(stage: Stage) -> None:
    with serving(reply(503), stage.cluster.authority) as home:
        host, port = home["issuer.test", 443]
        given = ["--issuer", URL, "--to", str(stage.directory), "--from", "https://issuer.test", *stage.source]
        code, line = stopped(stage.command(*given, "--connect-to", f"issuer.test:443:{host}:{port}"))
    assert (code, nothing_is_published(stage)) == (3, True)
    assert "HTTP 503; " in line


def test_a_server_without_the_documents_is_5(stage: Stage) -> None:
    host, port = stage.site.address
    (stage.files / "ca.crt").write_text(stage.site.authority.pem)
    given = ["--issuer", URL, "--to", str(stage.directory), "--from", f"https://published.test:{port}"]
    code, line = stopped(stage.command(*given, *stage.source, "--connect-to", f"published.test:{port}:{host}:{port}"))
    assert (code, nothing_is_published(stage)) == (5, True)
    assert "HTTP 404; " in line


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ({"d": "AQAB"}, "has a private key: d of key 2"),
        ({"kty": "OKP"}, "has a key that AWS does not take"),
        ({"kid": ""}, "has no kid in key 2"),
        ({"n": None}, "has no usable n in key 2"),
    ],
)
def test_a_key_set_with_a_key_that_must_not_be_published_is_refused_whole(
    stage: Stage, tmp_path: Path, key: dict[str, Any], what: str
) -> None:
    options = stage.kubectl_get(tmp_path)
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [SigningKey().jwk(), SigningKey().jwk() | key]}))
    code, line = stopped(stage.command("--issuer", URL, "--to", str(stage.directory), *options))
    assert (code, nothing_is_published(stage)) == (5, True)
    assert line.startswith(f"{tmp_path / 'keys.json'}: {what}")


@pytest.mark.parametrize("name", ["discovery.json", "keys.json"])
def test_a_file_that_is_no_document_is_5(stage: Stage, tmp_path: Path, name: str) -> None:
    options = stage.kubectl_get(tmp_path)
    (tmp_path / name).write_text("error: You must be logged in to the server\n")
    code, line = stopped(stage.command("--issuer", URL, "--to", str(stage.directory), *options))
    assert (code, line.partition("; ")[0]) == (5, f"{tmp_path / name}: is not JSON")


# --- the directory ---


def test_a_directory_with_the_documents_of_another_issuer_is_left_alone(stage: Stage) -> None:
    stage.publish()
    document = (stage.directory / DISCOVERY).read_text()
    (stage.directory / DISCOVERY).write_text(document.replace(URL, "https://other.test"))
    with pytest.raises(SettingsError) as caught:
        stage.publish()
    assert caught.value.what == "holds the documents of https://other.test"


@pytest.mark.parametrize(
    "content", ["", "{}", '{"keys": [{"kty": "RSA", "kid": "a", "n": "AQ", "e": "AQ", "d": "AQ"}]}']
)
def test_a_published_key_set_that_cannot_be_kept_is_not_replaced(stage: Stage, content: str) -> None:
    stage.publish()
    (stage.directory / KEYS).write_text(content)
    code, line = stopped(stage.publish())
    assert (code, (stage.directory / KEYS).read_text()) == (5, content)
    assert line.startswith(f"{stage.directory / KEYS}: ")


@pytest.mark.parametrize("name", ["a file", "x" * 300])
def test_a_directory_that_cannot_be_written_is_told(stage: Stage, tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").write_text("")
    with pytest.raises(SettingsError, match=r": cannot be (written|read) \("):
        stage.command("--issuer", URL, "--to", str(tmp_path / name), *stage.source, **stage.environment)


# --- options ---


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (["--issuer", "https://published.test/"], "--issuer"),
        (["--issuer", "https://published.test:443"], "--issuer"),
        (["--jwks-uri", "http://published.test/keys"], "--jwks-uri"),
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
def test_an_option_that_cannot_be_used_is_refused_by_name(stage: Stage, options: list[str], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        stage.command("--issuer", URL, "--to", str(stage.directory), *options)
    assert caught.value.where == where
    assert nothing_is_published(stage)


@pytest.mark.parametrize("options", [[], ["--to", "x", "--check"], ["--to", "x", "--keep", "1", "--prune"]])
def test_wrong_usage_is_exit_code_2(stage: Stage, options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        stage.command("--issuer", URL, *options)
    assert caught.value.code == 2


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"a\nb", b"x" * 70_000])
def test_a_token_that_is_none_is_not_sent(stage: Stage, content: bytes) -> None:
    (stage.files / "token").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        stage.publish()
    assert (caught.value.where, caught.value.what) == (str(stage.files / "token"), "holds no token")


# --- --check ---


def test_what_is_published_as_it_is_is_good(stage: Stage) -> None:
    stage.publish()
    done = stage.check()
    assert (done.code, done.out) == (0, f"good: {URL} serves all 1 keys of the cluster\n")
    assert stage.check("--json").json == {"issuer": URL, "good": True, "differences": [], "extra": []}


def test_a_key_that_only_the_published_set_has_is_fine_and_named(stage: Stage) -> None:
    stage.publish()
    (kid,) = stage.cluster.kids
    stage.cluster.rotate_key()
    stage.cluster.retire_old_keys()
    stage.publish()
    done = stage.check()
    assert done.code == 0
    assert done.out.startswith(f"key {kid} is published and not, or no longer, of the cluster\n")
    assert stage.check("--json").json["extra"] == [kid]


@pytest.mark.parametrize("name", [DISCOVERY, KEYS])
def test_a_document_that_is_not_published_is_7(stage: Stage, name: str) -> None:
    stage.publish()
    (stage.directory / name).unlink()
    done = stage.check()
    assert (done.code, done.out) == (7, f"{URL}/{name} is not published (HTTP 404): AWS refuses every token\n")


@pytest.mark.parametrize("name", [DISCOVERY, KEYS])
def test_a_document_that_is_something_else_is_7(stage: Stage, name: str) -> None:
    stage.publish()
    (stage.directory / name).write_text("<html>")
    done = stage.check("--json")
    assert (done.code, [difference["kind"] for difference in done.json["differences"]]) == (7, ["document"])


@pytest.mark.parametrize(("name", "value"), [("issuer", URL + "/"), ("jwks_uri", f"{URL}/{KEYS}?")])
def test_a_document_that_says_something_else_is_7(stage: Stage, name: str, value: str) -> None:
    stage.publish()
    path = stage.directory / DISCOVERY
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    done = stage.check("--json")
    assert (done.code, done.json["differences"][-1]["kind"]) == (7, name)


def test_a_place_of_the_keys_that_cannot_be_asked_is_7(stage: Stage) -> None:
    stage.publish("--jwks-uri", "https://keys.invalid/jwks")
    assert stage.check().code == 7
    assert stopped(stage.check("--jwks-uri", "https://keys.invalid/jwks"))[0] == 3


def test_an_issuer_that_cannot_be_reached_is_3(stage: Stage) -> None:
    given = ["--issuer", URL, "--check", "--connect-to", "published.test:443:127.0.0.1:1", *stage.source]
    assert stopped(stage.command(*given, **stage.environment))[0] == 3


def test_a_certificate_that_does_not_fit_is_5(stage: Stage, tmp_path: Path) -> None:
    stage.publish()
    ca = tmp_path / "site.crt"
    ca.write_text(stage.site.authority.pem)
    assert stage.check("--issuer-ca", str(ca)).code == 0
    ca.write_text(Authority("site CA").pem)
    code, line = stopped(stage.check("--issuer-ca", str(ca)))
    assert code == 5
    assert "--issuer-ca" in line


def test_a_host_that_is_reached_elsewhere_is_not_looked_for_through_a_proxy(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    stage.publish()
    assert stage.check().code == 0


def test_a_check_writes_nothing(stage: Stage) -> None:
    stage.check()
    assert nothing_is_published(stage)
