"""``aws-oidc-sidecar bootstrap aws``: the options, and the set-up that they say."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from sidecar import flags
from sidecar.bootstrap import spec
from sidecar.bootstrap.file import ROLE_KEYS, build, parse
from sidecar.bootstrap.spec import Spec
from sidecar.connect_to import redirected
from sidecar.errors import SettingsError

__all__ = ("add_options", "run")

_FILE_MAX_BYTES: Final = 1 << 20
# How flags say the keys of a file. Those of the second table are of the one role that flags can name.
_TOP_FLAGS: Final = {"issuer": "issuer", "also_trust": "issuers", "audience": "audience", "tag": "tags"}
_ROLE_FLAGS: Final = {
    "role": "name",
    "service_account": "service_accounts",
    "subject": "subjects",
    "subject_like": "subjects_like",
    "assumed_by": "assumed_by",
    "session_tags": "session_tags",
    "policy_arn": "policy_arns",
    "inline_policy": "inline_policy_files",
    "max_session_seconds": "max_session_seconds",
    "path": "path",
}
_FLAG_OF: Final = {key: f"--{flag.replace('_', '-')}" for flag, key in (_TOP_FLAGS | _ROLE_FLAGS).items()}
_DESCRIPTION: Final = """\
Makes or mends in AWS what tokens of an OIDC issuer need to assume roles: the IAM OIDC provider and the roles with their
trust policies. Run twice, it changes nothing the second time; ended half-way, it goes on where it was when it is run
again. What others made is not touched without --adopt. Exit codes: 0 good, 2 usage or configuration, 3 the issuer or
AWS cannot be reached, 4 AWS refuses, 5 the issuer does not fit, 6 rights missing, 7 drift (--check)."""


def add_options(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Give the parser of ``bootstrap`` the command ``aws`` with its options; return what takes further commands."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="bootstrap")
    aws = commands.add_parser(
        "aws", help="make or mend the IAM OIDC provider and the roles that trust it", description=_DESCRIPTION
    )
    _add_what(aws.add_argument_group("what to set up"))
    _add_role(aws.add_argument_group("the role", "For several roles: --file."))
    how = aws.add_argument_group("how")
    mode = how.add_mutually_exclusive_group()
    mode.add_argument("--plan", action="store_true", help="show the exact difference and change nothing")
    mode.add_argument("--check", action="store_true", help="the same, and exit with 7 if there is any")
    mode.add_argument(
        "--emit", choices=["cli"], help="print the set-up, from nothing, as a shell script of AWS CLI lines"
    )
    how.add_argument("--destroy", action="store_true", help="remove what this made, and say what stays and why")
    how.add_argument("--adopt", action="store_true", help="also change a provider or role that others made")
    how.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    how.add_argument("--region", metavar="NAME", help="the region of STS (default: that of the environment)")
    how.add_argument("--account-id", metavar="ID", help="with --emit: the account, so that no credentials are needed")
    how.add_argument("--partition", metavar="NAME", help="with --account-id: aws, aws-cn or aws-us-gov (default: aws)")
    flags.add_connect_to(how)
    return commands


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],  # noqa: ARG001 - boto3 reads that of the process
    out: TextIO,
    err: TextIO,
) -> int:
    """Set up, show, check, emit or remove; return the exit code.

    Args:
        given: what a parser with ``add_options`` made.
        environment: unused; every command has it.
        out: gets what was done, the script, or the JSON document.
        err: gets warnings, and why it ended early.

    Raises:
        SettingsError: a flag, a file or a contradiction of two; or what others made would be changed without --adopt.
    """
    _check_flags(given)
    wanted = _spec(given)
    redirections = flags.connect_to(given)
    # Imported here: --help needs none of it.
    from sidecar.bootstrap.work import Work  # noqa: PLC0415

    with redirected(redirections):
        return Work(given, wanted, out, err, redirections).run()


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--file", metavar="FILE", help="a TOML file with any number of roles: docs/bootstrap.md")
    group.add_argument("--issuer", metavar="URL", help="the issuer, as the tokens' iss has it")
    group.add_argument(
        "--also-trust",
        metavar="URL",
        action="append",
        help="one more issuer that the roles trust, to move from one to the other without a gap; repeatable",
    )
    group.add_argument(
        "--audience",
        metavar="TEXT",
        action="append",
        help=f"aud of the tokens (default: {spec.DEFAULT_AUDIENCE}); repeatable",
    )
    group.add_argument(
        "--tag",
        metavar="KEY=VALUE",
        action="append",
        help="of the roles, and of a provider that has no such key yet; repeatable",
    )
    group.add_argument(
        "--thumbprint",
        metavar="HEX",
        action="append",
        help="register this for --issuer, and do not look at what it serves; repeatable",
    )
    group.add_argument("--prune-thumbprints", action="store_true", help="drop thumbprints that are no longer needed")
    group.add_argument("--issuer-ca", metavar="FILE", help="the CA that the issuer's certificate has to be of, PEM")


def _add_role(group: argparse._ArgumentGroup) -> None:
    def several(flag: str, metavar: str, text: str) -> None:
        group.add_argument(flag, metavar=metavar, action="append", help=f"{text}; repeatable")

    group.add_argument("--role", metavar="NAME", help=ROLE_KEYS["name"].help)
    several("--service-account", "NAMESPACE/NAME", "a ServiceAccount that may assume it")
    several("--subject", "TEXT", "sub of other tokens that may assume it")
    several("--subject-like", "PATTERN", "the same with * and ?: every token that matches may assume it")
    several("--assumed-by", "ARN", "instead of tokens: a role that may assume it")
    group.add_argument("--session-tags", action="store_true", default=None, help=ROLE_KEYS["session_tags"].help)
    several("--policy-arn", "ARN", "a managed policy to attach")
    several("--inline-policy", "NAME=FILE", "an inline policy, and the JSON file that has it")
    group.add_argument("--max-session-seconds", metavar="N", help=ROLE_KEYS["max_session_seconds"].help)
    group.add_argument("--path", metavar="PATH", help=ROLE_KEYS["path"].help)


def _check_flags(given: argparse.Namespace) -> None:
    if given.destroy and (given.check or given.emit):
        raise SettingsError("--destroy", "contradicts --check and --emit", "use --destroy --plan to see what would go")
    if given.json and given.emit:
        raise SettingsError("--json", "contradicts --emit", "leave one of them out")
    if (given.account_id or given.partition) and not given.emit:
        fix = "leave it out: the account is that of the credentials"
        raise SettingsError("--account-id, --partition", "only for --emit", fix)
    if given.partition and not given.account_id:
        raise SettingsError("--partition", "needs --account-id", "give both, or none for those of the credentials")
    if given.issuer_ca is not None and "BEGIN CERTIFICATE" not in _text(Path(given.issuer_ca)):
        raise SettingsError("--issuer-ca", "holds no certificate", "give a file of CA certificates, PEM")
    if given.account_id:
        flags.parsed(spec.account_id, given.account_id, "--account-id")
    if given.partition:
        flags.parsed(spec.partition, given.partition, "--partition")


def _spec(given: argparse.Namespace) -> Spec:
    top = {key: getattr(given, flag) for flag, key in _TOP_FLAGS.items() if getattr(given, flag) is not None}
    role = {key: getattr(given, flag) for flag, key in _ROLE_FLAGS.items() if getattr(given, flag) is not None}
    if "tags" in top:
        top["tags"] = _pairs(top["tags"], "--tag", "KEY=VALUE")
    if "inline_policy_files" in role:
        role["inline_policy_files"] = _pairs(role["inline_policy_files"], "--inline-policy", "NAME=FILE")
    if "max_session_seconds" in role:
        role["max_session_seconds"] = flags.parsed(_number, role["max_session_seconds"], "--max-session-seconds")
    thumbprints = tuple(flags.parsed(spec.thumbprint, text, "--thumbprint") for text in given.thumbprint or ()) or None
    if thumbprints and len(thumbprints) > spec.THUMBPRINTS_MAX:
        raise SettingsError("--thumbprint", "too many", f"IAM takes {spec.THUMBPRINTS_MAX} for a provider")
    if given.file is None:
        tables: dict[str, Any] = top | ({"role": [role]} if role else {})
        folder = Path()
    else:
        if role:
            names = ", ".join(_FLAG_OF[key] for key in role)
            raise SettingsError(names, "contradicts --file", "write it into the file")
        tables = {**parse(_text(Path(given.file)), given.file), **top}
        folder = Path(given.file).parent

    def where(place: str, key: str) -> str:
        of_file = given.file is not None and (place or key not in top)
        if of_file:
            return f"{given.file}: {f'{place}: ' if place else ''}{key}"
        # Flags name one role.
        return _FLAG_OF.get(key, "--role")

    return build(
        tables,
        where,
        lambda name: _text(folder / name),
        thumbprints=thumbprints,
        whole=not given.destroy,
    )


def _pairs(texts: list[str], where: str, form: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(middle for _, middle, _ in pairs):
        raise SettingsError(where, f"not {form}", "put an equals sign between the two")
    found = {name: value for name, _, value in pairs}
    if len(found) < len(pairs):
        raise SettingsError(where, "names one thing twice", "leave one of them out")
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len("43200"):
        raise ValueError("not a number of seconds; use 3600 to 43200")
    return int(text)


def _text(path: Path) -> str:
    return flags.read_text(path, _FILE_MAX_BYTES, "give a file of UTF-8 text that can be read")
