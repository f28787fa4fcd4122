from typing import TYPE_CHECKING

import pytest

from sidecar.credentials.store import Store
from sidecar.credentials.timing import hold
from tests.helpers.values import grant

if TYPE_CHECKING:
    from sidecar.model import Held


def test_a_profile_has_nothing_at_first() -> None:
    assert Store(["a"]).get("a") is None


def test_a_set_is_swapped_whole_and_every_listener_hears_of_it() -> None:
    store = Store(["a", "b"])
    heard: list[tuple[str, Held | None]] = []
    store.subscribe(lambda name, held: heard.append((name, held)))
    one = hold(grant(1))
    store.publish("a", one)
    store.publish("a", None)
    assert heard == [("a", one), ("a", None)]
    assert store.get("a") is None


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(KeyError):
        Store(["a"]).publish("b", None)


def test_a_profile_that_goes_is_withdrawn_and_one_that_stays_keeps_its_set() -> None:
    store = Store(["a", "b"])
    store.publish("a", hold(grant(1)))
    store.publish("b", hold(grant(2)))
    heard: list[tuple[str, Held | None]] = []
    store.subscribe(lambda name, held: heard.append((name, held)))
    store.set_profiles(["b", "c"])
    assert heard == [("a", None)]
    assert store.profiles == ("b", "c")
    assert store.get("b") is not None
