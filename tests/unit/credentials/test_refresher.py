"""The refresher on a real event loop, with a fake clock and an exchanger whose results a test sets."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.credentials.states import Phase
from sidecar.errors import Outcome
from sidecar.model import OnChange
from tests.helpers.refresher_harness import FAILURE, RefresherHarness
from tests.helpers.values import ROLE_ARN, assume_role_result, profile, token

OTHER_ROLE = "arn:aws:iam::210987654321:role/Other"


def test_a_token_is_exchanged_and_the_credentials_are_served() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("default")
        await harness.settle()
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("default", 1)
        held = harness.store.get("default")
        assert held is not None
        assert held.result.credentials.access_key_id.endswith("1")
        assert harness.observer.lines == ["started default", "default AssumeRoleResult fresh"]
        await harness.stop()

    asyncio.run(scenario())


def test_due_profiles_share_one_process_and_each_result_is_served_at_once() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a", "b", "c")
        harness.refresher.token_seen(token())
        await harness.settle()
        assert [[request.profile.name for request in requests] for requests in harness.exchanger.requests] == [
            ["a", "b", "c"]
        ]
        await harness.gives("b", 1)
        assert harness.store.get("b") is not None
        assert harness.store.get("a") is None
        await harness.exchanger.results.put(("a", FAILURE))
        await harness.gives("c", 2)
        assert harness.store.get("c") is not None
        assert harness.refresher.state("a").phase is Phase.RETRYING
        await harness.stop()

    asyncio.run(scenario())


@pytest.mark.mutant("two child processes run at once")
def test_a_profile_that_becomes_due_during_an_exchange_waits_for_its_end() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a", "b")
        harness.refresher.token_seen(token("1.1.1"))
        await harness.settle()
        await harness.exchanger.results.put(("a", FAILURE))
        await harness.settle()
        harness.refresher.token_seen(token("2.2.2"))
        await harness.settle()
        assert len(harness.exchanger.requests) == 1, "b is still being exchanged"
        await harness.gives("b", 1)
        assert [request.token.raw for request in harness.exchanger.requests[1]] == ["2.2.2"]
        assert harness.exchanger.at_once == 1
        await harness.stop()

    asyncio.run(scenario())


def test_expired_credentials_are_withdrawn_from_the_store() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("default")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("default", 1)
        harness.clock.advance(3_575)
        harness.refresher.token_seen(token("2.2.2"))
        await harness.settle()
        assert harness.store.get("default") is None
        assert "default withdrawn expired" in harness.observer.lines
        await harness.stop()

    asyncio.run(scenario())


def test_a_bug_in_an_exchange_ends_the_refresher() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("default")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.exchanger.results.put(("unknown", FAILURE))
        with pytest.raises(KeyError):
            await asyncio.wait_for(harness.task, 5)

    asyncio.run(scenario())


def test_cancelling_ends_the_running_exchange_first() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("default")
        harness.refresher.token_seen(token())
        await harness.settle()
        assert harness.exchanger.running == 1
        await harness.stop()

    asyncio.run(scenario())


@pytest.mark.mutant("a chained profile starts an exchange of its source")
def test_a_chained_profile_uses_its_source_in_the_same_process() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("base", "b<base", "c<base", "d<c")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("base", 1)
        await harness.gives("b", 2)
        await harness.gives("c", 3)
        await harness.gives("d", 4)
        assert [[request.profile.name for request in requests] for requests in harness.exchanger.requests] == [
            ["base"],
            ["b", "c"],
            ["d"],
        ]
        sources = {
            request.profile.name: request.source for requests in harness.exchanger.requests for request in requests
        }
        base, c = harness.store.get("base"), harness.store.get("c")
        assert base is not None
        assert c is not None
        assert sources == {
            "base": None,
            "b": base.result.credentials,
            "c": base.result.credentials,
            "d": c.result.credentials,
        }
        assert harness.exchanger.processes == 1
        await harness.stop()

    asyncio.run(scenario())


def test_a_chained_profile_is_not_exchanged_while_its_source_has_no_credentials() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("base", "b<base")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("base", 1)
        await harness.gives("b", 2)
        # Both have expired; base is denied now, so no request can be made for b.
        harness.clock.advance(3_700)
        harness.refresher.token_seen(token("2.2.2"))
        await harness.settle()
        await harness.exchanger.results.put(("base", FAILURE))
        await harness.settle()
        failure = harness.refresher.state("b").failure
        assert failure is not None
        assert failure.outcome is Outcome.SOURCE_UNAVAILABLE
        assert [request.profile.name for request in harness.exchanger.requests[-1]] == ["base"]
        await harness.stop()

    asyncio.run(scenario())


@pytest.mark.mutant(
    "changed settings withdraw the credentials",
    "changed settings are not requested before the credentials are due",
    "credentials of new settings with a shorter lifetime are rejected",
)
def test_a_changed_profile_serves_its_credentials_until_there_are_new_ones() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a", "b").hold()
        before = harness.store.get("a"), harness.store.get("b")
        harness.replace(profile("a"), replace(profile("b"), duration_seconds=900), profile("c"))
        assert (harness.store.get("a"), harness.store.get("b")) == before
        assert not harness.refresher.state("a").has_previous_settings
        assert harness.refresher.state("b").has_previous_settings
        await harness.settle()
        assert harness.requested() == ["b", "c"]
        # Their lifetime is shorter than that of the previous ones, and they replace them.
        await harness.gives("b", 3, lifetime=900)
        assert harness.serves("b") == 3
        assert not harness.refresher.state("b").has_previous_settings
        assert harness.observer.lines[-3:] == ["b previous", "started b c", "b AssumeRoleResult fresh"]
        await harness.stop()

    asyncio.run(scenario())


def test_settings_that_aws_denies_leave_the_previous_credentials_until_they_expire() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a").hold()
        harness.replace(replace(profile("a"), duration_seconds=43_200))
        await harness.settle()
        await harness.fails("a")
        harness.clock.advance(3_500)
        harness.refresher.token_seen(token("a.b.c"))
        await harness.settle()
        await harness.fails("a")
        assert harness.serves("a") == 1
        assert harness.refresher.state("a").has_previous_settings
        harness.clock.advance(71)
        harness.refresher.token_seen(token("d.e.f"))
        await harness.settle()
        assert harness.store.get("a") is None
        assert "a withdrawn expired" in harness.observer.lines
        await harness.stop()

    asyncio.run(scenario())


def test_a_reverted_change_needs_no_exchange() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a").hold()
        harness.replace(replace(profile("a"), role_arn=OTHER_ROLE))
        await harness.settle()
        harness.replace(profile("a"))
        assert not harness.refresher.state("a").has_previous_settings
        await harness.gives("a", 2)  # for the other role
        assert harness.serves("a") == 1
        assert harness.requested() == ["a"], "the request for the other role was the last"
        assert len(harness.exchanger.requests) == 2
        await harness.stop()

    asyncio.run(scenario())


@pytest.mark.mutant("credentials of a previous role are served although on_change withdraws them")
@pytest.mark.parametrize(
    ("change", "numbers"),
    [({"role_arn": OTHER_ROLE}, [0, 2]), ({"duration_seconds": 900}, [1, 2]), ({"policy": "{}"}, [1, 2])],
)
def test_credentials_of_another_role_can_be_withdrawn_at_once(change: dict[str, Any], numbers: list[int]) -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a").hold()
        harness.replace(replace(profile("a"), on_change=OnChange.WITHDRAW_ON_ROLE_CHANGE, **change))
        served = [harness.serves("a") if harness.store.get("a") else 0]
        assert ("a withdrawn role_changed" in harness.observer.lines) == (served == [0])
        await harness.settle()
        assert harness.requested() == ["a"]
        await harness.gives("a", 2)
        assert [*served, harness.serves("a")] == numbers
        await harness.stop()

    asyncio.run(scenario())


def test_credentials_of_a_previous_role_can_be_withdrawn_later() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a", "b").hold()
        changed = [replace(profile(name), role_arn=OTHER_ROLE) for name in ("a", "b")]
        harness.replace(*changed)
        await harness.settle()
        await harness.fails("a")
        await harness.fails("b")
        harness.replace(replace(changed[0], on_change=OnChange.WITHDRAW_ON_ROLE_CHANGE), changed[1])
        assert (harness.store.get("a"), harness.serves("b")) == (None, 2)
        assert harness.observer.lines[-1] == "a withdrawn role_changed"
        await harness.settle()
        assert harness.requested() == ["a"]
        await harness.stop()

    asyncio.run(scenario())


def test_previous_settings_are_reported_only_for_served_credentials() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a", "b").hold()
        a, b = (replace(profile(name), duration_seconds=900) for name in ("a", "b"))
        harness.replace(a, replace(b, served=False))
        assert harness.observer.lines[-2:] == ["b withdrawn not_served", "a previous"]
        harness.replace(a, b)
        assert harness.observer.lines[-2:] == ["a previous", "b previous"]
        harness.clock.wall += 3_600
        harness.replace(profile("a"), profile("b"))
        harness.replace(a, b)
        assert harness.observer.lines[-2:] == ["a withdrawn expired", "b withdrawn expired"]
        await harness.stop()

    asyncio.run(scenario())


def test_a_profile_that_is_removed_or_no_longer_served_is_withdrawn_and_reported() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("a", "b", "c").hold()
        harness.replace(replace(profile("a"), served=False), profile("c"))
        assert harness.observer.lines[-2:] == ["a withdrawn not_served", "b withdrawn removed"]
        lines = len(harness.observer.lines)
        harness.replace(replace(profile("a"), served=False), profile("c"), profile("d"))
        harness.replace(replace(profile("a"), served=False), profile("c"))
        assert len(harness.observer.lines) == lines, "d had no credentials to withdraw"
        await harness.settle()
        assert len(harness.exchanger.requests) == 1, "no setting changed that credentials depend on"
        assert harness.serves("a") == 1, "as the source of other profiles"
        await harness.stop()

    asyncio.run(scenario())


def test_a_profile_chained_to_a_changed_source_is_exchanged_once_and_after_it() -> None:
    async def scenario() -> None:
        harness = await RefresherHarness("base", "b<base").hold()
        chained = replace(profile("b"), source="base")
        harness.replace(replace(profile("base"), role_arn=OTHER_ROLE), chained)
        await harness.settle()
        assert harness.requested() == ["base"]
        assert harness.serves("b") == 2
        await harness.gives("base", 3)
        assert harness.requested() == ["b"]
        assert harness.exchanger.requests[-1][0].source == harness.credentials("base")
        await harness.gives("b", 4)
        assert harness.serves("b") == 4
        assert [name for name in ("base", "b") if harness.refresher.state(name).has_previous_settings] == []
        await harness.stop()

    asyncio.run(scenario())


def test_a_profile_that_is_removed_while_it_is_due_is_not_exchanged() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a", "b")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("b", 1)
        harness.refresher.refresh()
        harness.replace(profile("a"))
        await harness.gives("a", 2)
        assert (harness.serves("a"), len(harness.exchanger.requests)) == (2, 1)
        await harness.stop()

    asyncio.run(scenario())


def test_the_result_of_an_exchange_with_previous_settings_is_dropped() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a", "b")
        harness.refresher.token_seen(token())
        await harness.settle()
        harness.replace(replace(profile("a"), region="eu-west-1"))
        await harness.gives("a", 1)
        await harness.gives("b", 2)
        assert harness.store.get("a") is None
        assert [request.profile.region for request in harness.exchanger.requests[-1]] == ["eu-west-1"]
        await harness.gives("a", 3)
        assert harness.store.get("a") is not None
        await harness.stop()

    asyncio.run(scenario())


def test_a_requested_refresh_exchanges_for_all_profiles() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a", "b")
        harness.refresher.token_seen(token())
        await harness.settle()
        await harness.gives("a", 1)
        await harness.gives("b", 2)
        harness.refresher.refresh()
        await harness.settle()
        assert [request.profile.name for request in harness.exchanger.requests[-1]] == ["a", "b"]
        await harness.stop()

    asyncio.run(scenario())


def test_chained_profiles_use_credentials_from_before_a_restart() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("base", "b<base")
        harness.load("base")
        await harness.settle()
        assert harness.observer.lines == [], "without a token no exchange can fail"
        harness.refresher.token_seen(token())
        await harness.settle()
        (requests,) = harness.exchanger.requests
        assert [(request.profile.name, request.source) for request in requests] == [("b", harness.credentials("base"))]
        await harness.stop()

    asyncio.run(scenario())


def test_a_chained_profile_that_is_loaded_with_its_source_is_not_exchanged() -> None:
    async def scenario() -> None:
        harness = RefresherHarness("base", "b<base")
        harness.load("base", "b")
        harness.refresher.token_seen(token())
        await harness.settle()
        assert harness.exchanger.requests == []
        assert (harness.serves("base"), harness.serves("b")) == (1, 2)
        await harness.stop()

    asyncio.run(scenario())


@pytest.mark.mutant("a restart with changed settings drops the credentials")
@pytest.mark.parametrize("role_arn", [OTHER_ROLE, ROLE_ARN])
@pytest.mark.parametrize("on_change", OnChange)
def test_a_restart_with_changed_settings_follows_on_change(role_arn: str, on_change: OnChange) -> None:
    async def scenario() -> None:
        harness = RefresherHarness("a")
        previous = replace(assume_role_result(), settings="of previous settings")
        previous = replace(previous, credentials=replace(previous.credentials, role_arn=role_arn))
        harness.replace(replace(profile("a"), on_change=on_change))
        serves = on_change is OnChange.KEEP or role_arn == ROLE_ARN
        assert harness.refresher.load({"a": previous}) == ([] if serves else ["a"])
        assert (harness.store.get("a") is not None) == serves
        assert ("a previous" in harness.observer.lines) == serves
        harness.refresher.token_seen(token())
        await harness.settle()
        assert harness.requested() == ["a"], "credentials for the settings in force are requested at once"
        await harness.stop()

    asyncio.run(scenario())
