"""Finds connections with data to read: one epoll for all connections of a listener, inside that of the event loop.

A reader of the loop costs one or two objects per connection and half a microsecond per event; this class needs a table.
"""

import asyncio
import select
from collections.abc import Callable

__all__ = ("Poller",)


class Poller:
    """Calls the connections that have data to read.

    Args:
        loop: the running event loop.
    """

    __slots__ = ("_calls", "_epoll", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        loop.add_reader(self._epoll.fileno(), self._turn)

    def add(self, descriptor: int, call: Callable[[], None]) -> None:
        """Register ``call``; it is called when there is data to read, or the peer closed the connection.

        The exception handler of the loop receives its exceptions.
        """
        self._calls[descriptor] = call
        self._epoll.register(descriptor, select.EPOLLIN)

    def remove(self, descriptor: int) -> None:
        """Unregister a descriptor; must be called before the descriptor is closed."""
        del self._calls[descriptor]
        self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Unregister all descriptors."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._calls.clear()

    def _turn(self) -> None:
        # All ready descriptors in one turn: `Listener.stop` relies on that.
        for descriptor, _ in self._epoll.poll(0, len(self._calls) + 1):
            call = self._calls.get(descriptor)  # None if another call in this turn removed it
            if call is not None:
                try:
                    call()
                except Exception as error:  # noqa: BLE001 - an error of one connection must not close the others
                    self._loop.call_exception_handler({"message": "a connection failed", "exception": error})
