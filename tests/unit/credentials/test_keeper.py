"""The keeper on a real event loop, with a fake clock and an exchanger that a test answers by hand."""

import asyncio
from dataclasses import replace

import pytest

from sidecar.credentials.states import Phase
from sidecar.errors import Outcome
from tests.helpers.keeper_world import FAILURE, KeeperWorld
from tests.helpers.values import grant, profile, token


def test_a_token_becomes_a_served_set() -> None:
    async def story() -> None:
        world = KeeperWorld("default")
        await world.settle()
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("default", 1)
        held = world.store.get("default")
        assert held is not None
        assert held.grant.credentials.access_key_id.endswith("1")
        assert world.notes.lines == ["started default", "default Grant fresh"]
        await world.stop()

    asyncio.run(story())


def test_all_profiles_that_are_due_share_one_exchange_and_each_is_served_as_it_comes() -> None:
    async def story() -> None:
        world = KeeperWorld("a", "b", "c")
        world.keeper.token_seen(token())
        await world.settle()
        assert [[order.profile.name for order in orders] for orders in world.exchanger.orders] == [["a", "b", "c"]]
        await world.gives("b", 1)
        assert world.store.get("b") is not None
        assert world.store.get("a") is None
        await world.exchanger.results.put(("a", FAILURE))
        await world.gives("c", 2)
        assert world.store.get("c") is not None
        assert world.keeper.state("a").phase is Phase.RETRYING
        await world.stop()

    asyncio.run(story())


def test_what_becomes_due_during_an_exchange_waits_for_its_end() -> None:
    async def story() -> None:
        world = KeeperWorld("a", "b")
        world.keeper.token_seen(token("1.1.1"))
        await world.settle()
        await world.exchanger.results.put(("a", FAILURE))
        await world.settle()
        world.keeper.token_seen(token("2.2.2"))
        await world.settle()
        assert len(world.exchanger.orders) == 1, "b is still being exchanged"
        await world.gives("b", 1)
        assert [order.token.raw for order in world.exchanger.orders[1]] == ["2.2.2"]
        assert world.exchanger.at_once == 1
        await world.stop()

    asyncio.run(story())


def test_a_set_that_ran_out_is_withdrawn_from_the_store() -> None:
    async def story() -> None:
        world = KeeperWorld("default")
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("default", 1)
        world.clock.advance(3_575)
        world.keeper.token_seen(token("2.2.2"))
        await world.settle()
        assert world.store.get("default") is None
        assert "default withdrawn acquiring" in world.notes.lines
        await world.stop()

    asyncio.run(story())


def test_a_bug_in_an_exchange_ends_the_keeper() -> None:
    async def story() -> None:
        world = KeeperWorld("default")
        world.keeper.token_seen(token())
        await world.settle()
        await world.exchanger.results.put(("nobody", FAILURE))
        with pytest.raises(KeyError):
            await asyncio.wait_for(world.task, 5)

    asyncio.run(story())


def test_cancelling_ends_the_exchange_in_flight_first() -> None:
    async def story() -> None:
        world = KeeperWorld("default")
        world.keeper.token_seen(token())
        await world.settle()
        assert world.exchanger.open == 1
        await world.stop()

    asyncio.run(story())


def test_a_chained_profile_pays_with_its_source_in_the_same_flight() -> None:
    async def story() -> None:
        world = KeeperWorld("base", "b<base", "c<base", "d<c")
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("base", 1)
        await world.gives("b", 2)
        await world.gives("c", 3)
        await world.gives("d", 4)
        assert [[order.profile.name for order in orders] for orders in world.exchanger.orders] == [
            ["base"],
            ["b", "c"],
            ["d"],
        ]
        paid = {order.profile.name: order.source for orders in world.exchanger.orders for order in orders}
        base, c = world.store.get("base"), world.store.get("c")
        assert base is not None
        assert c is not None
        assert paid == {
            "base": None,
            "b": base.grant.credentials,
            "c": base.grant.credentials,
            "d": c.grant.credentials,
        }
        assert world.exchanger.flights == 1
        await world.stop()

    asyncio.run(story())


def test_a_chained_profile_is_not_asked_for_while_its_source_has_nothing() -> None:
    async def story() -> None:
        world = KeeperWorld("base", "b<base")
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("base", 1)
        await world.gives("b", 2)
        # Both have run out; base is denied now, so b cannot even be asked for.
        world.clock.advance(3_700)
        world.keeper.token_seen(token("2.2.2"))
        await world.settle()
        await world.exchanger.results.put(("base", FAILURE))
        await world.settle()
        failure = world.keeper.state("b").failure
        assert failure is not None
        assert failure.outcome is Outcome.SOURCE_UNAVAILABLE
        assert [order.profile.name for order in world.exchanger.orders[-1]] == ["base"]
        await world.stop()

    asyncio.run(story())


def test_a_changed_profile_starts_anew_and_one_that_is_as_it_was_keeps_its_set() -> None:
    async def story() -> None:
        world = KeeperWorld("a", "b")
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("a", 1)
        await world.gives("b", 2)
        kept = world.store.get("a")
        world.store.set_profiles(("a", "b", "c"))
        world.keeper.replace([profile("a"), replace(profile("b"), region="eu-west-1"), profile("c")])
        assert world.store.get("a") is kept
        assert world.store.get("b") is None, "a set of the former settings is not served under the new ones"
        await world.settle()
        assert [order.profile.name for order in world.exchanger.orders[-1]] == ["b", "c"]
        await world.gives("b", 3)
        held = world.store.get("b")
        assert held is not None
        assert held.grant.credentials.access_key_id.endswith("3")
        await world.stop()

    asyncio.run(story())


def test_what_was_asked_for_a_profile_before_it_changed_is_dropped() -> None:
    async def story() -> None:
        world = KeeperWorld("a", "b")
        world.keeper.token_seen(token())
        await world.settle()
        world.store.set_profiles(("a",))
        world.keeper.replace([replace(profile("a"), region="eu-west-1")])
        await world.gives("a", 1)
        await world.gives("b", 2)
        assert world.store.get("a") is None
        assert [order.profile.region for order in world.exchanger.orders[-1]] == ["eu-west-1"]
        await world.gives("a", 3)
        assert world.store.get("a") is not None
        await world.stop()

    asyncio.run(story())


def test_a_renewal_on_demand_exchanges_for_all() -> None:
    async def story() -> None:
        world = KeeperWorld("a", "b")
        world.keeper.token_seen(token())
        await world.settle()
        await world.gives("a", 1)
        await world.gives("b", 2)
        world.keeper.renew()
        await world.settle()
        assert [order.profile.name for order in world.exchanger.orders[-1]] == ["a", "b"]
        await world.stop()

    asyncio.run(story())


def test_a_loaded_set_is_served_and_is_what_chained_profiles_pay_with() -> None:
    async def story() -> None:
        world = KeeperWorld("base", "b<base")
        world.keeper.load("base", grant(1))
        assert world.store.get("base") is not None
        world.keeper.token_seen(token())
        await world.settle()
        (orders,) = world.exchanger.orders
        assert [(order.profile.name, order.source) for order in orders] == [("b", grant(1).credentials)]
        await world.stop()

    asyncio.run(story())
