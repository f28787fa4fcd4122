"""Conditions of rules: each returns the names that its warning is about, or none. Pure."""

import hmac
from collections.abc import Callable

from sidecar.application.no_proxy import NO_PROXY, exempt_for_all, exempt_for_some
from sidecar.application.rule import HOME_FILES, Surroundings

__all__ = (
    "absent",
    "all_filled",
    "at_home",
    "files",
    "filled",
    "first_alone",
    "no_region",
    "other",
    "present",
    "proxied",
    "proxied_for_some",
    "region_unread",
    "regions_differ",
    "unlike_file",
    "without_file",
)


def filled(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables that are set to a text that is not empty."""
    return tuple(name for name in names if around.environment.get(name))


def all_filled(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return all variables, or none if one of them is empty or not set."""
    return names if filled(around, names) == names else ()


def first_alone(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first variable, if it is the only one that is set."""
    return names[:1] if filled(around, names) == names[:1] else ()


def present(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables that are set, also to the empty text."""
    return tuple(name for name in names if name in around.environment)


def other(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables with another value than the wanted one."""
    return tuple(name for name in present(around, names) if around.environment[name] != around.wanted[name])


def unlike_file(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables with another value than the auth-token file."""
    return tuple(
        name
        for name in filled(around, names)
        if around.auth_token is not None
        and not hmac.compare_digest(around.environment[name].encode("utf-8", "surrogateescape"), around.auth_token)
    )


def without_file(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables that are set, if the auth-token file cannot be read."""
    return filled(around, names) if around.auth_token is None else ()


def proxied(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the proxies from which no client exempts the endpoint."""
    return () if _lists_do(around, exempt_for_some) else filled(around, names)


def proxied_for_some(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the proxies from which some clients exempt the endpoint, and others do not."""
    for_some_alone = _lists_do(around, exempt_for_some) and not _lists_do(around, exempt_for_all)
    return filled(around, names) if for_some_alone else ()


def _lists_do(around: Surroundings, exempt: Callable[[str], bool]) -> bool:
    lists = [around.environment[name] for name in present(around, NO_PROXY)]
    # If both spellings are set, clients read different ones: both must exempt it.
    return bool(lists) and all(map(exempt, lists))


def files(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables of files that can give other credentials."""
    # /dev/null is the usual value for "no such file".
    return tuple(
        name
        for name in filled(around, names)
        if around.environment[name] != "/dev/null" and name not in around.by_process | around.harmless
    )


def at_home(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files in the home directory that can give other credentials."""
    there = around.home_files - around.by_process - around.harmless
    return tuple(name for name in names if name in there and not around.environment.get(HOME_FILES[name]))


def absent(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first variable, if it is not set, and neither another variable nor a file replaces it."""
    # A variable with an empty value is reported by another rule.
    there = present(around, names[:1]) or filled(around, names[1:]) or around.by_process
    return () if there else names[:1]


def no_region(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables of the region, if no SDK finds a region, and the wanted variables have none."""
    known = filled(around, names) or around.regions_of_files or any(around.wanted.get(name) for name in names)
    return () if known else names


def region_unread(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the first variable, if only the second one, which some SDKs do not read, has the region."""
    return names[:1] if filled(around, names) == names[1:] and not around.regions_of_files else ()


def regions_differ(around: Surroundings, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables and the file that give SDKs different regions."""
    # An SDK that does not read one variable uses the file; an SDK that reads both variables, or the file alone when
    # neither is set, has the region of one of these two groups.
    sources = {name: around.environment[name] for name in filled(around, names)}
    if len(sources) < len(names):
        sources |= around.regions_of_files
    return tuple(sources) if len(set(sources.values())) > 1 else ()
