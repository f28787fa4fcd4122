"""Flags that contradict each other or are not valid are rejected before any request."""

import argparse
import io
from pathlib import Path

import pytest

from sidecar.commands.bootstrap_aws import add_options, run
from sidecar.errors import SettingsError

_ISSUER = ("--issuer", "https://issuer.test")
_USUAL = (*_ISSUER, "--role", "R", "--service-account", "a/b")


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return run(parser.parse_args(["aws", *arguments]), {}, io.StringIO(), io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--issuer: missing"),
        (_ISSUER, "--role: missing"),
        ((*_ISSUER, "--role", "R"), "--service-account: missing"),
        ((*_ISSUER, "--service-account", "a/b"), "--role: missing"),
        ((*_USUAL, "--service-account", "b"), "--service-account: not NAMESPACE/NAME"),
        ((*_USUAL, "--also-trust", "x"), "--also-trust: not an https URL"),
        ((*_USUAL, "--policy-arn", "x"), "--policy-arn: not a policy's ARN"),
        ((*_USUAL, "--session-tags"), "--session-tags: has no effect"),
        ((*_USUAL, "--max-session-seconds", "x"), "--max-session-seconds: not a number"),
        ((*_USUAL, "--max-session-seconds", "60"), "--max-session-seconds: out of range"),
        ((*_USUAL, "--tag", "x"), "--tag: not KEY=VALUE"),
        ((*_USUAL, "--tag", "a=1", "--tag", "a=2"), "--tag: duplicate name"),
        ((*_USUAL, "--inline-policy", "x"), "--inline-policy: not NAME=FILE"),
        ((*_USUAL, "--inline-policy", "p=/nonexistent/p"), "/nonexistent/p: cannot be read"),
        ((*_USUAL, "--thumbprint", "x"), "--thumbprint: not a thumbprint"),
        ((*_USUAL, *("--thumbprint", "a" * 40) * 6), "--thumbprint: too many"),
        ((*_USUAL, "--issuer-ca", "/nonexistent/ca"), "/nonexistent/ca: cannot be read"),
        ((*_USUAL, "--issuer-ca", "/dev/null"), "--issuer-ca: contains no certificate"),
        ((*_USUAL, "--connect-to", "x"), "--connect-to: not HOST:PORT:ADDRESS:PORT"),
        ((*_USUAL, "--destroy", "--check"), "--destroy: contradicts"),
        ((*_USUAL, "--destroy", "--emit", "cli"), "--destroy: contradicts"),
        ((*_USUAL, "--destroy", "--replace"), "--replace: contradicts --destroy"),
        (
            (*_USUAL, "--replace", "--emit", "cli", "--account-id", "123456789012"),
            "--account-id: contradicts --replace",
        ),
        ((*_USUAL, "--json", "--emit", "cli"), "--json: contradicts --emit"),
        ((*_USUAL, "--account-id", "123456789012"), "--account-id, --partition: can be used with --emit only"),
        ((*_USUAL, "--emit", "cli", "--partition", "aws"), "--partition: needs --account-id"),
        ((*_USUAL, "--emit", "cli", "--account-id", "1"), "--account-id: not an account id"),
        ((*_USUAL, "--file", "/dev/null"), "--role, --service-account: contradicts --file"),
        (("--file", "/nonexistent/f"), "/nonexistent/f: cannot be read"),
        (("--file", "/dev/null"), "/dev/null: issuer: missing"),
        ((*_ISSUER, "--file", "/dev/null"), "/dev/null: role: missing"),
        (("--issuer", "x", "--file", "/dev/null"), "--issuer: not an https URL"),
    ],
)
def test_an_error_is_one_line_with_location_cause_and_fix(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _run(*arguments)
    assert str(caught.value).startswith(message)
    assert caught.value.fix
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff", "is not UTF-8"), (b"#" * ((1 << 20) + 1), "is over 1048576 bytes")]
)
def test_an_invalid_file_is_rejected(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        _run("--file", str(tmp_path / "f"))


def test_emit_with_an_account_id_needs_no_aws() -> None:
    assert _run(*_USUAL, "--thumbprint", "a" * 40, "--emit", "cli", "--account-id", "123456789012") == 0


@pytest.mark.parametrize("modes", [("--plan", "--check"), ("--plan", "--emit", "cli"), ("--emit", "terraform")])
def test_modes_exclude_each_other(modes: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _run(*_USUAL, *modes)
    assert caught.value.code == 2
    assert "usage: " in capsys.readouterr().err
