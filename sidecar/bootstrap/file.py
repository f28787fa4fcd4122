"""Builds a ``Spec`` from the keys of a TOML file, or from flags. Pure, except that it reads policy files."""

import graphlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.bootstrap import spec
from sidecar.bootstrap.spec import Issuer, RoleSpec, Spec
from sidecar.errors import InvalidValueError, SettingsError
from sidecar.iam.policies import document

__all__ = ("ROLE_KEYS", "TOP_KEYS", "FileKey", "build", "parse_file")

Read = Callable[[str], str]
"""Returns the text of a file whose path is relative to the TOML file, or raises SettingsError."""
Where = Callable[[str, str], str]
"""Returns the location for an error message, from a role ("" for the top level) and a key."""


def _texts(parse_one: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    def parse_all(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - of TOML
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise InvalidValueError("not a string or a list of strings", 'write it as ["one", "two"]')
        return tuple(dict.fromkeys(map(parse_one, values)))

    return parse_all


def _text(parse_one: Callable[[str], str]) -> Callable[[Any], str]:
    def parse_it(value: Any) -> str:  # noqa: ANN401 - of TOML
        if not isinstance(value, str):
            raise InvalidValueError("not a string", "put it in quotes")
        return parse_one(value)

    return parse_it


def _number(value: Any) -> int:  # noqa: ANN401 - of TOML
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValueError("not a number", "write it without quotes")
    return spec.max_session(value)


def _switch(value: Any) -> bool:  # noqa: ANN401 - of TOML
    if not isinstance(value, bool):
        raise InvalidValueError("not true or false", "write true or false without quotes")
    return value


def _table(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidValueError("not a table of strings", 'write it as { name = "text" }')
    return value


def _tags(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    found = {spec.tag_key(key): spec.tag_value(text) for key, text in _table(value).items()}
    if len({key.lower() for key in found}) < len(found):
        raise InvalidValueError("has keys that differ only in case, which IAM does not distinguish", "keep one of them")
    if len(found) > spec.TAGS_MAX - spec.RESERVED_TAGS:
        most = spec.TAGS_MAX - spec.RESERVED_TAGS
        fix = f"use at most {most}: IAM allows {spec.TAGS_MAX}, and this command sets {spec.RESERVED_TAGS}"
        raise InvalidValueError("too many tags", fix)
    return found


def _inline(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    return {spec.policy_name(name): text for name, text in _table(value).items()}


@dataclass(frozen=True, slots=True)
class FileKey:
    """One key: the parser of its value, and its description."""

    parse: Callable[[Any], Any]
    help: str


TOP_KEYS: Final[Mapping[str, FileKey]] = {
    "issuer": FileKey(_text(spec.issuer_url), "URL of the issuer, exactly as in the iss of the tokens"),
    "issuers": FileKey(_texts(spec.issuer_url), "more issuers that all roles trust"),
    "audience": FileKey(_texts(spec.client_id), "aud of the tokens, for each role without its own audience"),
    "tags": FileKey(_tags, "tags of all roles, and of the provider if it does not have the key"),
    "role": FileKey(lambda value: value, "one table [[role]] for each role"),
}
"""The keys at the top level."""

ROLE_KEYS: Final[Mapping[str, FileKey]] = {
    "name": FileKey(_text(spec.role_name), "name of the role; required"),
    "service_accounts": FileKey(_texts(spec.service_account), "NAMESPACE/NAME of ServiceAccounts that can assume it"),
    "subjects": FileKey(_texts(spec.subject), "sub of other tokens that can assume it"),
    "subjects_like": FileKey(_texts(spec.subject_like), "patterns for sub, with * and ?"),
    "audience": FileKey(_texts(spec.client_id), "aud of the tokens"),
    "assumed_by": FileKey(_texts(spec.role_or_arn), "roles that can assume it, instead of tokens (role chaining)"),
    "session_tags": FileKey(_switch, "let the source roles of the chain set session tags"),
    "policy_arns": FileKey(_texts(spec.policy_arn), "managed policies to attach"),
    "inline_policies": FileKey(_inline, "inline policies: name and JSON text"),
    "inline_policy_files": FileKey(_inline, "inline policies: name and path of a JSON file, relative to this file"),
    "tags": FileKey(_tags, "more tags of this role"),
    "max_session_seconds": FileKey(_number, "maximum session duration in seconds, 3600 to 43200 (default: 3600)"),
    "path": FileKey(_text(spec.path), "path of the role's ARN (default: / for a new role)"),
}
"""The keys of a role."""


def parse_file(text: str, where: str) -> Mapping[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        SettingsError: the text is not valid TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Python's message has the line and the column, and quotes nothing of the file.
        raise SettingsError(where, f"not TOML ({error})", "see docs/bootstrap.md for the format") from None
    except RecursionError:
        raise SettingsError(where, "not TOML (nested too deep)", "see docs/bootstrap.md for the format") from None


def build(
    tables: Mapping[str, Any],
    where: Where,
    read: Read,
    *,
    thumbprints: tuple[str, ...] | None = None,
    whole: bool = True,
) -> Spec:
    """Return the ``Spec`` that these tables describe.

    Args:
        tables: with the keys of `TOP_KEYS`, and in `role` those of `ROLE_KEYS`.
        where: returns locations for error messages.
        read: returns the texts of policy files.
        thumbprints: of the first issuer, which is then not contacted.
        whole: whether to reject tables without a role, and a role whose `assumed_by` names a role that is missing here.

    Raises:
        SettingsError: a key is unknown, missing or not valid, or two keys contradict each other.
    """
    top = _parsed(tables, TOP_KEYS, where, "")
    if "issuer" not in top:
        raise SettingsError(where("", "issuer"), "missing", "give the issuer, exactly as in the tokens' iss")
    first = Issuer(top["issuer"], thumbprints)
    issuers = (first, *(Issuer(url) for url in top.get("issuers", ()) if url != first.url))
    found = top.get("role", [])
    if not isinstance(found, list) or not all(isinstance(role, dict) for role in found):
        raise SettingsError(where("", "role"), "not a list of tables", "write each role as [[role]]")
    if not found and whole:
        raise SettingsError(where("", "role"), "missing", "name the role that the tokens assume")
    roles = [_role(table, number, top, where, read) for number, table in enumerate(found, 1)]
    audience = top.get("audience") or (spec.DEFAULT_AUDIENCE,)
    spec_of_tables = Spec(issuers, _ordered(roles, where, whole=whole), top.get("tags", {}), audience)
    if len(spec_of_tables.client_ids) > spec.CLIENT_IDS_MAX:
        fix = f"use at most {spec.CLIENT_IDS_MAX} audiences: the limit of IAM for a provider"
        raise SettingsError(where("", "audience"), "too many for all roles together", fix)
    return spec_of_tables


def _role(table: Mapping[str, Any], number: int, top: Mapping[str, Any], where: Where, read: Read) -> RoleSpec:
    name = table.get("name")
    place = f"role {number}" + (f" ({name})" if isinstance(name, str) and name.isprintable() else "")
    keys = _parsed(table, ROLE_KEYS, where, place)
    if "name" not in keys:
        raise SettingsError(where(place, "name"), "missing", "name the role")
    subjects = tuple(dict.fromkeys((*keys.get("service_accounts", ()), *keys.get("subjects", ()))))
    likes, assumed_by = keys.get("subjects_like", ()), keys.get("assumed_by", ())
    if assumed_by and (subjects or likes or "audience" in keys):
        fix = "use two roles, one for tokens and one for role chaining"
        raise SettingsError(where(place, "assumed_by"), "contradicts the ServiceAccounts, subjects and audience", fix)
    if not (assumed_by or subjects or likes):
        fix = "name the ServiceAccounts that can assume it, as NAMESPACE/NAME"
        raise SettingsError(where(place, "service_accounts"), "missing", fix)
    if keys.get("session_tags") and not assumed_by:
        fix = "leave it out: session tags are set in role chaining only"
        raise SettingsError(where(place, "session_tags"), "has no effect on a role that tokens assume", fix)
    if "audience" in keys and not keys["audience"]:
        raise SettingsError(where(place, "audience"), "empty", "leave it out, or name an audience")
    tags = {**top.get("tags", {}), **keys.get("tags", {})}
    try:
        _tags(tags)
    except InvalidValueError as error:
        raise _settings_error(where(place, "tags"), error) from None
    options = {
        name: keys[name] for name in ("session_tags", "policy_arns", "max_session_seconds", "path") if name in keys
    }
    return RoleSpec(
        keys["name"],
        subjects=subjects,
        subjects_like=likes,
        audience=keys.get("audience") or top.get("audience") or (spec.DEFAULT_AUDIENCE,),
        assumed_by=assumed_by,
        inline=_documents(keys, place, where, read),
        tags=tags,
        **options,
    )


def _documents(keys: Mapping[str, Any], place: str, where: Where, read: Read) -> Mapping[str, Mapping[str, Any]]:
    texts, files = keys.get("inline_policies", {}), keys.get("inline_policy_files", {})
    duplicates = sorted(set(texts) & set(files))
    if duplicates:
        what = f"duplicate policy {duplicates[0]}, also in inline_policies"
        raise SettingsError(where(place, "inline_policy_files"), what, "keep one of them")
    found: dict[str, Mapping[str, Any]] = {}
    for key, sources in (("inline_policies", texts), ("inline_policy_files", files)):
        for name, source in sources.items():
            try:
                found[name] = document(read(source) if key == "inline_policy_files" else source)
            except InvalidValueError as error:
                raise _settings_error(f"{where(place, key)} {name}", error) from None
    return found


def _parsed(table: Mapping[str, Any], keys: Mapping[str, FileKey], where: Where, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in keys:
            shown = name if name.isprintable() else "a key"
            raise SettingsError(where(place, shown), "unknown key", f"use {', '.join(keys)}")
        try:
            found[name] = keys[name].parse(value)
        except InvalidValueError as error:
            raise _settings_error(where(place, name), error) from None
    return found


def _ordered(roles: Sequence[RoleSpec], where: Where, *, whole: bool) -> tuple[RoleSpec, ...]:
    """Source roles come first: IAM rejects a trust policy that names a role which does not exist."""
    by_name = {role.name: role for role in roles}
    known: set[str] = set()
    for role in roles:
        if role.name.lower() in known:
            fix = "use names that differ in more than case"
            raise SettingsError(where(f"role {role.name}", "name"), "duplicate role", fix)
        known.add(role.name.lower())
    at = {(role.path or "/") + role.name: role.name for role in roles}
    before: dict[str, list[str]] = {}
    by_arn: dict[str, list[str]] = {}
    for role in roles:
        named = [name for name in role.assumed_by if not name.startswith("arn:")]
        unknown = [name for name in named if name not in by_name]
        if unknown and whole:
            place = where(f"role {role.name}", "assumed_by")
            raise SettingsError(place, f"unknown role {unknown[0]}", "add it to this file, or give its ARN")
        before[role.name] = [name for name in named if name in by_name]
        ends = [arn.partition(":role")[2] for arn in role.assumed_by if arn.startswith("arn:")]
        by_arn[role.name] = before[role.name] + [at[end] for end in ends if end in at]
    try:
        names = tuple(graphlib.TopologicalSorter(by_arn).static_order())
    except graphlib.CycleError:
        # An ARN may be of another account whose roles have the same names; then there is no cycle.
        names = _sorted(before, where)
    return tuple(by_name[name] for name in names)


def _sorted(before: Mapping[str, Sequence[str]], where: Where) -> tuple[str, ...]:
    try:
        return tuple(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        place = where(f"role {error.args[1][0]}", "assumed_by")
        raise SettingsError(place, "is a cycle of roles", "let tokens assume the first role") from None


def _settings_error(where: str, error: InvalidValueError) -> SettingsError:
    return SettingsError(where, error.what, error.fix)
