"""Parses the profiles file, which has the syntax of the AWS config file, into profiles. Pure.

AWS users know the syntax (AWS CLI User Guide, "Configuration and credential file settings"), and ``source_profile``
is role chaining. Unknown keys are rejected, not ignored: an ignored key looks as if it had an effect.
"""

import configparser
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sidecar.errors import InvalidValueError, SettingsError
from sidecar.limits import CHAINED_DURATION_MAX_SECONDS, PROFILES_MAX
from sidecar.model import Profile
from sidecar.settings.profile_keys import FIXES, KEYS, OTHER_SECTIONS, misleads, profile_name

__all__ = ("parse_profiles", "role_chain")


# A message may quote a key of this form. A secret that landed in the wrong file almost always has digits.
_QUOTABLE_KEY = re.compile(r"[a-z_]{1,32}")
# The parser's regular expressions take quadratic time on a run of blanks, on the event loop that serves applications.
_BLANKS = re.compile(r"\S\s{17}")
# Columns of keys are aligned by blanks before the first "=".
_ALIGNED = re.compile(r"([^\s=]+)[ \t]*=[ \t]*")


def parse_profiles(text: str, where: str, base: Profile, token_file: str = "") -> tuple[Profile, ...]:
    """Return the profiles of a file; a source comes before the profiles that are chained to it.

    Args:
        text: the whole file.
        where: its path, for messages.
        base: the values of the keys that a profile does not set.
        token_file: the file of the projected token, which ``web_identity_token_file`` may name.

    Raises:
        SettingsError: the syntax, a key, a value or a chain is wrong; the place has the line and the profile.
    """
    text = _without_alignment(text, where)
    found: dict[str, Profile] = {}
    first: dict[str, str] = {}
    for section, values in _sections(text, where).items():
        if section.split()[:1] and section.split()[0] in OTHER_SECTIONS:
            continue

        def place(key: str | None = None, section: str = section) -> str:
            return f"{where}:{_first_line(text, section, key)}: [{section}]{f' {key}' if key else ''}"

        name = _profile_name(section, where)
        if name in found:  # `[default]` and `[profile default]`
            lines = _first_line(text, first[name]), _first_line(text, section)
            raise _duplicate(f"profile `{name}`", where, *lines)
        if section == "default" and "role_arn" not in values and not _misleading(values, token_file) - {"region"}:
            continue  # as `aws configure` writes it
        found[name], first[name] = _profile(name, values, place, base, token_file), section
    if len(found) > PROFILES_MAX:
        raise SettingsError(where, f"has over {PROFILES_MAX} profiles", "remove some, or use more than one pod")
    if not found:
        raise SettingsError(where, "has no profile", "write [profile <name>] and a role_arn")
    if not any(profile.served for profile in found.values()):
        raise SettingsError(
            where, "serves no profile", "remove serve = false from the profile that the application uses"
        )
    return _in_order(found, where)


def _without_alignment(text: str, where: str) -> str:
    rows = [_ALIGNED.sub(r"\1 = ", row, count=1) if _ALIGNED.match(row) else row for row in text.split("\n")]
    for number, row in enumerate(rows, start=1):
        if _BLANKS.search(row):
            raise SettingsError(f"{where}:{number}", "has over 16 blanks in a row", "use fewer blanks")
    return "\n".join(rows)


def _sections(text: str, where: str) -> dict[str, dict[str, str]]:
    parser = _parser()
    try:
        parser.read_string(text)
    except configparser.DuplicateSectionError as error:
        section = str(error.section)  # Python 3.14 also knows a section without a name, which this parser rejects
        name = _profile_name(section, where)
        raise _duplicate(f"profile `{name}`", where, _first_line(text, section), error.lineno) from None
    except configparser.DuplicateOptionError as error:
        first = _first_line(text, str(error.section), error.option)
        raise _duplicate(f"key{_quoted(error.option)}", where, first, error.lineno) from None
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or next((number for number, _ in getattr(error, "errors", ())), 0)
        # The text of the library quotes the line; the line may be a secret that landed in the wrong file.
        raise SettingsError(
            f"{where}:{line}", "is not AWS config syntax", "write [profile <name>] and key = value"
        ) from None
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _parser() -> configparser.RawConfigParser:
    return configparser.RawConfigParser(
        delimiters=("=",), comment_prefixes=("#", ";"), inline_comment_prefixes=None, default_section="",
        empty_lines_in_values=False,
    )  # fmt: skip


def _first_line(text: str, section: str, key: str | None = None) -> int:
    """Return the number of the line where the parser first finds a section, or a key of it; 0 if it finds none."""
    parser, number = _parser(), 0

    def is_found() -> bool:
        return parser.has_section(section) if key is None else parser.has_option(section, key)

    def rows() -> Iterator[str]:
        nonlocal number
        for row in text.split("\n"):
            if is_found():
                return
            number += 1
            yield row

    with suppress(configparser.Error):
        parser.read_file(rows())
    return number if is_found() else 0


def _duplicate(what: str, where: str, first: int, second: int | None) -> SettingsError:
    return SettingsError(f"{where}:{second}", f"duplicate {what} (lines {first} and {second})", "remove one of the two")


def _quoted(key: str) -> str:
    return f" `{key}`" if _QUOTABLE_KEY.fullmatch(key) else ""


def _profile_name(section: str, where: str) -> str:
    words = section.split()
    if words != ["default"] and (len(words) != 2 or words[0] != "profile"):  # noqa: PLR2004 - the word and the name
        fix = f"write [profile {section}]" if re.fullmatch("[a-z0-9-]{1,46}", section) else "write [profile <name>]"
        raise SettingsError(f"{where}: section", "is not a profile", fix)
    try:
        return profile_name(words[-1])
    except InvalidValueError as error:
        raise SettingsError(f"{where}: section", error.what, error.fix) from None


def _misleading(values: Mapping[str, str], token_file: str) -> set[str]:
    return {key for key, text in values.items() if key in KEYS or misleads(key, text, token_file)}


def _profile(
    name: str, values: Mapping[str, str], place: Callable[[str | None], str], base: Profile, token_file: str
) -> Profile:
    fields = _fields(values, place, token_file)
    where = place(None)
    if not fields.get("role_arn"):
        raise SettingsError(where, "has no role_arn", "set it, or remove the profile")
    profile = replace(base, name=name, **fields)
    if profile.source:
        if "duration_seconds" not in fields:
            profile = replace(profile, duration_seconds=min(base.duration_seconds, CHAINED_DURATION_MAX_SECONDS))
        if profile.duration_seconds > CHAINED_DURATION_MAX_SECONDS:
            what = f"is over {CHAINED_DURATION_MAX_SECONDS}: AWS limits a chained role to one hour"
            raise SettingsError(place("duration_seconds"), what, "lower it, or remove source_profile")
        return profile
    for key, given in (("external_id", profile.external_id), ("session_tags", profile.session_tags)):
        if given:
            what = "needs source_profile: AssumeRoleWithWebIdentity has no such parameter"
            raise SettingsError(place(key), what, "remove it, or set source_profile")
    return profile


def _fields(values: Mapping[str, str], place: Callable[[str | None], str], token_file: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, text in values.items():
        if key in KEYS:
            try:
                fields[KEYS[key].field] = KEYS[key].parse(text)
            except InvalidValueError as error:
                raise SettingsError(place(key), error.what, error.fix) from None
        elif misleads(key, text, token_file):
            raise SettingsError(place(key if _QUOTABLE_KEY.fullmatch(key) else None), *_unknown(key))
    return fields


def _unknown(key: str) -> tuple[str, str]:
    """Return what is wrong with an unsupported key, and the fix."""
    if key in FIXES:
        return "is not supported", FIXES[key]
    import difflib  # noqa: PLC0415 - a running daemon does not need it

    # Only a misspelling: another word that looks similar would lead to a wrong key.
    close = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.85)
    fix = f"did you mean {close[0]}?" if close else "remove it; docs/configuration.md lists the keys"
    return f"unknown key{_quoted(key)}", fix


def _in_order(found: Mapping[str, Profile], where: str) -> tuple[Profile, ...]:
    ordered: dict[str, Profile] = {}

    def place(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            what = f"source_profile makes a loop: {' -> '.join((*path, name))}"
            raise SettingsError(f"{where}: [{name}]", what, "remove one source_profile of the loop")
        if name in ordered:
            return
        profile = found[name]
        if profile.source:
            if profile.source not in found:
                what = f"source_profile {profile.source} is not in this file"
                raise SettingsError(f"{where}: [{name}]", what, "add that profile, or name another profile")
            place(profile.source, (*path, name))
        ordered[name] = profile

    for name in found:
        place(name, ())
    return tuple(ordered.values())


def role_chain(profiles: Sequence[Profile], name: str) -> list[Profile]:
    """Return the role chain of a profile: its sources and then itself, in the order of their exchanges.

    Args:
        profiles: of the settings.
        name: the profile; "" means ``default``, or the profile of a file that has one.

    Raises:
        SettingsError: there is no such profile.
    """
    by_name = {profile.name: profile for profile in profiles}
    found = by_name.get(name or "default") or (profiles[0] if not name and len(profiles) == 1 else None)
    if found is None:
        raise SettingsError("--profile", "unknown profile", f"use one of: {', '.join(sorted(by_name))}")
    chain = [found]
    while chain[0].source:
        chain.insert(0, by_name[chain[0].source])
    return chain
