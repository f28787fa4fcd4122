"""From the keys of a TOML file, or of flags that say the same, to a ``Spec``. Pure but for the policies' files."""

import graphlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.bootstrap import spec
from sidecar.bootstrap.policies import document
from sidecar.bootstrap.spec import Issuer, RoleSpec, Spec
from sidecar.errors import SettingsError

__all__ = ("ROLE_KEYS", "TOP_KEYS", "Key", "build", "parse")

Read = Callable[[str], str]
"""Gives the text of a file beside the TOML file, or raises SettingsError."""
Where = Callable[[str, str], str]
"""Names a place for a message: of a role, or "" for the top, and of its key."""


def _texts(parse_one: Callable[[str], str]) -> Callable[[Any], tuple[str, ...]]:
    def parse_all(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - of TOML
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
            raise ValueError('not a text or a list of texts; write it as in ["one", "two"]')
        return tuple(dict.fromkeys(map(parse_one, values)))

    return parse_all


def _text(parse_one: Callable[[str], str]) -> Callable[[Any], str]:
    def parse_it(value: Any) -> str:  # noqa: ANN401 - of TOML
        if not isinstance(value, str):
            raise ValueError("not a text; put it in quotes")  # noqa: TRY004 - every refusal is a ValueError
        return parse_one(value)

    return parse_it


def _number(value: Any) -> int:  # noqa: ANN401 - of TOML
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("not a number; write it without quotes")  # noqa: TRY004 - as above
    return spec.max_session(value)


def _switch(value: Any) -> bool:  # noqa: ANN401 - of TOML
    if not isinstance(value, bool):
        raise ValueError("not true or false; write one of them without quotes")  # noqa: TRY004 - as above
    return value


def _table(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise ValueError('not a table of texts; write it as in { name = "text" }')
    return value


def _tags(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    found = {spec.tag_key(key): spec.tag_value(text) for key, text in _table(value).items()}
    if len({key.lower() for key in found}) < len(found):
        raise ValueError("has keys that differ in case only, which are one to IAM; leave one")
    if len(found) > spec.TAGS_MAX - spec.RESERVED_TAGS:
        most = spec.TAGS_MAX - spec.RESERVED_TAGS
        raise ValueError(f"too many tags; IAM takes {spec.TAGS_MAX}, of which {most} are left by this command")
    return found


def _inline(value: Any) -> Mapping[str, str]:  # noqa: ANN401 - of TOML
    return {spec.policy_name(name): text for name, text in _table(value).items()}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its value is taken, and what it is for."""

    parse: Callable[[Any], Any]
    help: str


TOP_KEYS: Final[Mapping[str, Key]] = {
    "issuer": Key(_text(spec.issuer_url), "the issuer, as the tokens' iss has it"),
    "issuers": Key(_texts(spec.issuer_url), "more issuers that every role trusts"),
    "audience": Key(_texts(spec.client_id), "aud of the tokens, for every role that names none"),
    "tags": Key(_tags, "of every role, and of a provider that has no such key yet"),
    "role": Key(lambda value: value, "one table [[role]] for each role"),
}
"""Every key at the top."""

ROLE_KEYS: Final[Mapping[str, Key]] = {
    "name": Key(_text(spec.role_name), "its name; required"),
    "service_accounts": Key(_texts(spec.service_account), "NAMESPACE/NAME of those that may assume it"),
    "subjects": Key(_texts(spec.subject), "sub of other tokens that may assume it"),
    "subjects_like": Key(_texts(spec.subject_like), "the same with * and ?"),
    "audience": Key(_texts(spec.client_id), "aud of their tokens"),
    "assumed_by": Key(_texts(spec.role_or_arn), "instead of tokens: the roles that may assume it"),
    "session_tags": Key(_switch, "whether these may tag their sessions"),
    "policy_arns": Key(_texts(spec.policy_arn), "managed policies to attach"),
    "inline_policies": Key(_inline, "inline policies: name and JSON text"),
    "inline_policy_files": Key(_inline, "inline policies: name and a JSON file beside this one"),
    "tags": Key(_tags, "more tags of this role"),
    "max_session_seconds": Key(_number, "the longest life of its credentials (default 3600)"),
    "path": Key(_text(spec.path), "the path of its ARN (default /)"),
}
"""Every key of a role."""


def parse(text: str, where: str) -> Mapping[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        SettingsError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # What Python says is the line and column, and quotes nothing.
        raise SettingsError(where, f"not TOML ({error})", "see docs/bootstrap.md for the format") from None
    except RecursionError:
        raise SettingsError(where, "not TOML (too deep)", "see docs/bootstrap.md for the format") from None


def build(
    tables: Mapping[str, Any],
    where: Where,
    read: Read,
    *,
    thumbprints: tuple[str, ...] | None = None,
    whole: bool = True,
) -> Spec:
    """Return the set-up that these tables say.

    Args:
        tables: with the keys of `TOP_KEYS`, and in `role` those of `ROLE_KEYS`.
        where: names places for messages.
        read: gives the texts of policies' files.
        thumbprints: of the first issuer, instead of looking at what it serves.
        whole: whether one without a role, or with a role that is assumed by one it lacks, is refused.

    Raises:
        SettingsError: a key is unknown, missing or wrong, or two contradict.
    """
    top = _parsed(tables, TOP_KEYS, where, "")
    if "issuer" not in top:
        raise SettingsError(where("", "issuer"), "missing", "give the issuer, as the tokens' iss has it")
    first = Issuer(top["issuer"], thumbprints)
    issuers = (first, *(Issuer(url) for url in top.get("issuers", ()) if url != first.url))
    found = top.get("role", [])
    if not isinstance(found, list) or not all(isinstance(role, dict) for role in found):
        raise SettingsError(where("", "role"), "not a list of tables", "write each role as [[role]]")
    if not found and whole:
        raise SettingsError(where("", "role"), "missing", "name the role that is to be assumed")
    roles = [_role(table, number, top, where, read) for number, table in enumerate(found, 1)]
    audience = top.get("audience") or (spec.DEFAULT_AUDIENCE,)
    made = Spec(issuers, _ordered(roles, where, whole=whole), top.get("tags", {}), audience)
    if len(made.client_ids) > spec.CLIENT_IDS_MAX:
        raise SettingsError(where("", "audience"), "too many in all", f"IAM takes {spec.CLIENT_IDS_MAX} for a provider")
    return made


def _role(table: Mapping[str, Any], number: int, top: Mapping[str, Any], where: Where, read: Read) -> RoleSpec:
    name = table.get("name")
    place = f"role {number}" + (f" ({name})" if isinstance(name, str) and name.isprintable() else "")
    keys = _parsed(table, ROLE_KEYS, where, place)
    if "name" not in keys:
        raise SettingsError(where(place, "name"), "missing", "name the role")
    subjects = tuple(dict.fromkeys((*keys.get("service_accounts", ()), *keys.get("subjects", ()))))
    likes, assumed_by = keys.get("subjects_like", ()), keys.get("assumed_by", ())
    if assumed_by and (subjects or likes or "audience" in keys):
        fix = "make two roles, one for tokens and one for roles"
        raise SettingsError(where(place, "assumed_by"), "contradicts the ServiceAccounts, subjects and audience", fix)
    if not (assumed_by or subjects or likes):
        fix = "name the ServiceAccounts that may assume it, as NAMESPACE/NAME"
        raise SettingsError(where(place, "service_accounts"), "missing", fix)
    if keys.get("session_tags") and not assumed_by:
        fix = "leave it out: tags come by role chaining only"
        raise SettingsError(where(place, "session_tags"), "of no use to a role that tokens assume", fix)
    if "audience" in keys and not keys["audience"]:
        raise SettingsError(where(place, "audience"), "empty", "leave it out, or name an audience")
    tags = {**top.get("tags", {}), **keys.get("tags", {})}
    try:
        _tags(tags)
    except ValueError as error:
        raise _refused(where(place, "tags"), error) from None
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
    twice = sorted(set(texts) & set(files))
    if twice:
        raise SettingsError(where(place, "inline_policy_files"), f"{twice[0]} is there twice", "leave one of them")
    found: dict[str, Mapping[str, Any]] = {}
    for key, sources in (("inline_policies", texts), ("inline_policy_files", files)):
        for name, source in sources.items():
            try:
                found[name] = document(read(source) if key == "inline_policy_files" else source)
            except ValueError as error:
                raise _refused(f"{where(place, key)} {name}", error) from None
    return found


def _parsed(table: Mapping[str, Any], keys: Mapping[str, Key], where: Where, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in keys:
            shown = name if name.isprintable() else "a key"
            raise SettingsError(where(place, shown), "not known", f"use {', '.join(keys)}")
        try:
            found[name] = keys[name].parse(value)
        except ValueError as error:
            raise _refused(where(place, name), error) from None
    return found


def _ordered(roles: Sequence[RoleSpec], where: Where, *, whole: bool) -> tuple[RoleSpec, ...]:
    """IAM refuses a trust policy that names a role which does not exist: these come first."""
    by_name: dict[str, RoleSpec] = {}
    for role in roles:
        if role.name.lower() in {name.lower() for name in by_name}:
            raise SettingsError(where(f"role {role.name}", "name"), "is there twice", "names differ by more than case")
        by_name[role.name] = role
    before: dict[str, list[str]] = {}
    by_arn: dict[str, list[str]] = {}
    for role in roles:
        named = [name for name in role.assumed_by if not name.startswith("arn:")]
        strange = [name for name in named if name not in by_name]
        if strange and whole:
            place = where(f"role {role.name}", "assumed_by")
            raise SettingsError(place, f"{strange[0]} is no role of this set-up", "add it, or give its ARN")
        before[role.name] = [name for name in named if name in by_name]
        ends = {arn.partition(":role")[2] for arn in role.assumed_by if arn.startswith("arn:")}
        by_arn[role.name] = before[role.name] + [one.name for one in roles if one.path + one.name in ends]
    try:
        names = tuple(graphlib.TopologicalSorter(by_arn).static_order())
    except graphlib.CycleError:
        # The account of an ARN may be another, whose roles have the same names: no circle then.
        names = _sorted(before, where)
    return tuple(by_name[name] for name in names)


def _sorted(before: Mapping[str, Sequence[str]], where: Where) -> tuple[str, ...]:
    try:
        return tuple(graphlib.TopologicalSorter(before).static_order())
    except graphlib.CycleError as error:
        place = where(f"role {error.args[1][0]}", "assumed_by")
        raise SettingsError(place, "is a circle", "let the first role be assumed by tokens") from None


def _refused(where: str, error: ValueError) -> SettingsError:
    what, _, fix = str(error).partition("; ")
    return SettingsError(where, what, fix)
