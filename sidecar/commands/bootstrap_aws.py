"""``aws-oidc-sidecar bootstrap aws``: the options, and the ``Spec`` that they describe."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from sidecar.bootstrap import spec
from sidecar.bootstrap.file import ROLE_KEYS, build, parse_file
from sidecar.bootstrap.spec import Spec
from sidecar.commands import flags
from sidecar.errors import InvalidValueError, SettingsError
from sidecar.https.connect_to import redirected
from sidecar.settings.read import read_text
from sidecar.settings.regions import region

__all__ = ("add_options", "run")

_FILE_MAX_BYTES: Final = 1 << 20
# The key of the TOML file for each flag. The second table is for the one role that flags can describe.
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
Creates or completes the IAM OIDC provider of an issuer, and the roles that its tokens can assume, with their trust
policies, policies and tags. It is safe to repeat: it adds what is missing, and a second run changes nothing. If a run
stops early, run it again to continue. It removes or shortens nothing without --replace, and does not change a provider
or role that it did not create without --adopt. Start with --plan. Exit codes: 0 success, 2 usage or configuration, 3
the issuer or AWS is unreachable, 4 AWS returned an error, 5 the issuer's documents, keys or certificate are not valid,
6 the credentials do not have a permission, 7 drift: --check found a difference, or a Deny statement blocks a token."""


def add_options(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add the command ``aws`` and its options to the parser of ``bootstrap``; return its subparsers."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="bootstrap")
    aws = commands.add_parser(
        "aws", help="create or complete the IAM OIDC provider and the roles that trust it", description=_DESCRIPTION
    )
    _add_what(aws.add_argument_group("what to set up"))
    _add_role(aws.add_argument_group("the role", "For several roles, use --file."))
    behaviour = aws.add_argument_group("how to run")
    mode = behaviour.add_mutually_exclusive_group()
    mode.add_argument("--plan", action="store_true", help="show every change and make none")
    mode.add_argument("--check", action="store_true", help="as --plan, and exit with 7 if a change is needed")
    mode.add_argument(
        "--emit",
        choices=["cli"],
        help="print a shell script of AWS CLI commands that creates everything, and make no change",
    )
    behaviour.add_argument(
        "--destroy", action="store_true", help="remove what this command created; list what it keeps, with the reason"
    )
    behaviour.add_argument(
        "--adopt", action="store_true", help="also change a provider or role that this command did not create"
    )
    behaviour.add_argument(
        "--replace",
        action="store_true",
        help="also remove from the roles what is not configured here, and shorten longer sessions; the removals are "
        "listed before the first change (use --plan --replace to see them)",
    )
    behaviour.add_argument("--json", action="store_true", help="print the result as one JSON document")
    behaviour.add_argument(
        "--region", metavar="NAME", help="region of STS (default: the region of the AWS CLI settings)"
    )
    behaviour.add_argument(
        "--account-id", metavar="ID", help="account id for --emit; the script is then printed without AWS credentials"
    )
    behaviour.add_argument(
        "--partition", metavar="NAME", help="partition of --account-id, such as aws-cn (default: aws)"
    )
    flags.add_connect_to(behaviour)
    return commands


def run(
    given: argparse.Namespace,
    environment: Mapping[str, str],  # noqa: ARG001 - boto3 reads the environment of the process
    out: TextIO,
    err: TextIO,
) -> int:
    """Set up, show, check, emit or remove; return the exit code.

    Args:
        given: the parsed arguments of a parser with ``add_options``.
        environment: not used; each command has this parameter.
        out: receives the changes, the script, or the JSON document.
        err: receives warnings.

    Raises:
        BootstrapError: AWS or the issuer prevents the command from completing.
        SettingsError: a flag or a file is not valid, two of them contradict each other, or a provider or role that
            this command did not create would be changed without --adopt.
    """
    _check_flags(given)
    spec_of_flags = _spec(given)
    redirections = flags.connect_to(given)
    # Imported here: --help does not need it.
    from sidecar.bootstrap.work import Work  # noqa: PLC0415

    with redirected(redirections):
        return Work(given, spec_of_flags, out, err, redirections).run()


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--file", metavar="FILE", help="TOML file with one or more roles; docs/bootstrap.md describes its keys"
    )
    group.add_argument("--issuer", metavar="URL", help="URL of the issuer, exactly as in the iss of the tokens")
    group.add_argument(
        "--also-trust",
        metavar="URL",
        action="append",
        help="another issuer that the roles trust, for a migration between issuers without downtime; repeatable",
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
        help="tag of the roles, and of the provider if it does not have this key; repeatable",
    )
    group.add_argument(
        "--thumbprint",
        metavar="HEX",
        action="append",
        help="thumbprint to register for --issuer; the issuer is not contacted then; repeatable",
    )
    group.add_argument("--prune-thumbprints", action="store_true", help="remove thumbprints that IAM does not need now")
    group.add_argument(
        "--issuer-ca", metavar="FILE", help="CA certificate (PEM) that verifies the issuer's certificate"
    )


def _add_role(group: argparse._ArgumentGroup) -> None:
    def several(flag: str, metavar: str, text: str) -> None:
        group.add_argument(flag, metavar=metavar, action="append", help=f"{text}; repeatable")

    group.add_argument("--role", metavar="NAME", help=ROLE_KEYS["name"].help)
    several("--service-account", "NAMESPACE/NAME", "ServiceAccount that can assume the role")
    several("--subject", "TEXT", "sub of another token that can assume the role, compared exactly")
    several("--subject-like", "PATTERN", "pattern for sub, with * and ?; each token that matches can assume the role")
    several("--assumed-by", "ARN", "role that can assume this role, instead of tokens (role chaining)")
    group.add_argument("--session-tags", action="store_true", default=None, help=ROLE_KEYS["session_tags"].help)
    several("--policy-arn", "ARN", "managed policy to attach")
    several("--inline-policy", "NAME=FILE", "name of an inline policy, and the JSON file with its document")
    group.add_argument("--max-session-seconds", metavar="N", help=ROLE_KEYS["max_session_seconds"].help)
    group.add_argument("--path", metavar="PATH", help=ROLE_KEYS["path"].help)


def _check_flags(given: argparse.Namespace) -> None:
    if given.destroy and (given.check or given.emit):
        fix = "use --destroy --plan to see what would be removed"
        raise SettingsError("--destroy", "contradicts --check and --emit", fix)
    if given.replace and given.destroy:
        raise SettingsError("--replace", "contradicts --destroy", "leave one of them out")
    if given.replace and given.account_id:
        fix = "leave it out, and use credentials that can read IAM"
        raise SettingsError("--account-id", "contradicts --replace, which reads the current state of IAM", fix)
    if given.json and given.emit:
        raise SettingsError("--json", "contradicts --emit", "leave one of them out")
    if (given.account_id or given.partition) and not given.emit:
        fix = "leave it out: the account of the credentials is used"
        raise SettingsError("--account-id, --partition", "can be used with --emit only", fix)
    if given.partition and not given.account_id:
        fix = "give both, or neither to use the account of the credentials"
        raise SettingsError("--partition", "needs --account-id", fix)
    if given.issuer_ca is not None and "BEGIN CERTIFICATE" not in _text(Path(given.issuer_ca)):
        raise SettingsError("--issuer-ca", "contains no certificate", "give a PEM file with CA certificates")
    named = ((spec.account_id, "account_id"), (spec.partition, "partition"), (region, "region"))
    for parse, name in named:
        if getattr(given, name):
            flags.parsed(parse, getattr(given, name), f"--{name.replace('_', '-')}")


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
        fix = f"give at most {spec.THUMBPRINTS_MAX}: the limit of IAM for a provider"
        raise SettingsError("--thumbprint", "too many", fix)
    if given.file is None:
        tables: dict[str, Any] = top | ({"role": [role]} if role else {})
        folder = Path()
    else:
        if role:
            names = ", ".join(_FLAG_OF[key] for key in role)
            raise SettingsError(names, "contradicts --file", "use the key of the role in the file instead")
        tables = {**parse_file(_text(Path(given.file)), given.file), **top}
        folder = Path(given.file).parent

    def where(place: str, key: str) -> str:
        of_file = given.file is not None and (place or key not in top)
        if of_file:
            return f"{given.file}: {f'{place}: ' if place else ''}{key}"
        # Flags describe one role.
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
        raise SettingsError(where, f"not {form}", "separate the two parts with an equals sign")
    found = {name: value for name, _, value in pairs}
    if len(found) < len(pairs):
        raise SettingsError(where, "duplicate name", "keep one of them")
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len("43200"):
        raise InvalidValueError("not a number of seconds", "use a number from 3600 to 43200")
    return int(text)


def _text(path: Path) -> str:
    return read_text(path, _FILE_MAX_BYTES, "give a readable file of UTF-8 text")
