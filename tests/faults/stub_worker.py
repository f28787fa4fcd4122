"""Runs in place of the daemon's worker: executes the real worker or misbehaves, depending on the mode file.

Arguments: the mode file, the real interpreter, and what the daemon passes to the interpreter.
"""

import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

MODES = ("real", "unresponsive", "silent_after_ready", "exits", "garbage", "other_profile", "endless_line", "no_names")


def main(mode_file: str, interpreter: str, *arguments: str) -> None:
    mode = Path(mode_file).read_text()
    match mode:
        case "real":
            os.execv(interpreter, [interpreter, *arguments])
        case "unresponsive":
            signal.pause()
        case "exits":
            sys.exit(3)
        case "no_names":
            socket.getaddrinfo = _no_names
            sys.argv = [interpreter]
            runpy.run_module("sidecar.exchange.worker", run_name="__main__")
    _write({"ready": True})
    request = json.loads(sys.stdin.buffer.readline())["requests"][0]
    match mode:
        case "silent_after_ready":
            signal.pause()
        case "garbage":
            sys.stdout.write("<html>\n")
        case "endless_line":
            sys.stdout.write("x" * 1_000_000)
        case "other_profile":
            _write({"profile": "other", "result": {"token": request["token"]}})
    sys.stdout.flush()
    signal.pause()


def _no_names(*_arguments: object, **_named: object) -> NoReturn:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def _write(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
