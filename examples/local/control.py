"""The JSON control path of the local AWS, for other processes: `/_local/` on its own loopback port.

GET, POST (replace all) and DELETE `/_local/faults`; GET `/_local/calls`. A POST body is
`{"faults": [{"kind": "slow", "scope": "sts", "seconds": 2, "times": 3}]}`, its names those of `faults.Fault`.
"""

import json
from dataclasses import asdict

from examples.local.faults import Fault, Faults
from examples.local.records import CallLog
from examples.local.wire import HttpRequest, HttpResponse

CONTROL_PREFIX = "/_local/"


class Control:
    """Responds to requests on the control path.

    Args:
        faults: the faults that it shows and changes.
        calls: the calls that it shows.
    """

    def __init__(self, faults: Faults, calls: CallLog) -> None:
        self._faults = faults
        self._calls = calls

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Return the response: 200 with the state after the request, 400 with the error, 404 or 415."""
        name = request.target.removeprefix(CONTROL_PREFIX)
        if name == "calls" and request.method == "GET":
            return _json(200, {"calls": [asdict(call) for call in self._calls.all()]})
        if name != "faults" or request.method not in ("GET", "POST", "DELETE"):
            return _json(404, {"error": "GET, POST or DELETE /_local/faults; GET /_local/calls"})
        if request.method == "DELETE":
            self._faults.clear()
        if request.method == "POST":
            # A web page cannot send this type to another origin without a preflight request (CORS).
            if request.header("content-type") != "application/json":
                return _json(415, {"error": "Content-Type: application/json"})
            try:
                self._faults.replace([Fault.parse(fields) for fields in json.loads(request.body)["faults"]])
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                return _json(400, {"error": str(error)})
        return _json(200, {"faults": [asdict(fault) for fault in self._faults.active()]})


def _json(status: int, document: object) -> HttpResponse:
    return HttpResponse(status, {"Content-Type": "application/json"}, json.dumps(document).encode())
