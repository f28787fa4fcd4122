"""An attacker: floods a port from a separate process until its standard input is closed.

Arguments: the port, the path, and the kind of flood: ``requests`` on kept connections; ``pipelined`` requests that do
not wait for a response; ``connections`` that are opened and closed; ``bare`` connections that are kept open and send
nothing; or ``half`` requests that never end, on as many connections as the port accepts. At its end it prints the
number of requests or connections.
"""

import contextlib
import socket
import sys
import threading

_THREADS = 4
_HALVES = 128
_BARE = 400
_done: list[int] = []


def main(port: int, path: str, what: str) -> None:
    flood, threads = {"bare": (_flood_bare, 1), "pipelined": (_flood_pipelined, 32)}.get(what, (_flood, _THREADS))
    for _ in range(threads):
        threading.Thread(target=flood, args=(port, path, what), daemon=True).start()
    sys.stdin.read()
    sys.stdout.write(str(sum(_done)))


def _flood(port: int, path: str, what: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    held: list[socket.socket] = []
    while True:
        with contextlib.suppress(OSError):
            sock = socket.create_connection(("127.0.0.1", port), timeout=5)
            _done.append(1)
            if what == "half":
                sock.sendall(request[:20])
                held.append(sock)
                if len(held) > _HALVES:
                    held.pop(0).close()
                continue
            with sock:
                while what == "requests":
                    sock.sendall(request)
                    if not sock.recv(65_536):
                        break
                    _done.append(1)


def _flood_bare(port: int, _path: str, _what: str) -> None:
    held: list[socket.socket] = []
    while True:
        # As fast as one process can: non-blocking, without waiting for the connection.
        sock = socket.socket()
        sock.settimeout(0)
        with contextlib.suppress(OSError):
            sock.connect(("127.0.0.1", port))
        _done.append(1)
        held.append(sock)
        if len(held) > _BARE:
            held.pop(0).close()


def _flood_pipelined(port: int, path: str, _what: str) -> None:
    requests = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * 500
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            threading.Thread(target=_drain, args=(sock,), daemon=True).start()
            while True:
                sock.sendall(requests)
                _done.append(500)


def _drain(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while sock.recv(1_048_576):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
