"""The strict AWS: one URL for STS, IAM and SSM, in front of moto."""

import json
import re
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

from examples.local.clock import Clock, system_clock
from examples.local.control import CONTROL_PREFIX, Control
from examples.local.faults import FaultKind, Faults
from examples.local.iam_view import IamView
from examples.local.idp import TIMEOUT_SECONDS, ConnectTo, ProviderClient
from examples.local.limits import check_provider
from examples.local.loopback import LOOPBACK, LoopbackHandler, LoopbackServer
from examples.local.moto_backend import ACCOUNT_ID, REGION, MotoBackend
from examples.local.pki import Authority, server_context
from examples.local.records import Caller, CallLog, CallRecord, KeyRing, KeySet
from examples.local.refusals import Reason, Refused
from examples.local.signature import authenticate
from examples.local.sts import SecurityTokenService
from examples.local.verify import TokenVerifier
from examples.local.wire import HttpRequest, HttpResponse, Operation, empty_success, refusal

_MAX_BODY = 1 << 20
_READ_ONLY = re.compile(r"(Get|List|Simulate|Generate)[A-Z]")
_CHECKED = frozenset({"CreateOpenIDConnectProvider", "UpdateOpenIDConnectProviderThumbprint"})
_CLIENT_ID_CHANGES = frozenset({"AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider"})
_GARBAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the guest network</body></html>"


class Aws:
    """STS, IAM and SSM of one account, over HTTP at `url` and over TLS at `tls_url`.

    Every request is judged before moto sees it: AssumeRoleWithWebIdentity by its token, everything else by its
    signature and, for an issued set, by the permission policies of its role.

    Args:
        clock: wall time in seconds, for tokens, for the life of issued sets, and for IAM's propagation.
        connect_to: where identity providers really are; read at each call, so entries can be added later.
        authority: the CA of the TLS certificate (for `localhost`, 127.0.0.1 and `address`).
        address: where both URLs are; another one than loopback only in a network namespace of one's own.
    """

    def __init__(
        self,
        *,
        clock: Clock = system_clock,
        connect_to: ConnectTo | None = None,
        authority: Authority | None = None,
        address: str = LOOPBACK,
    ) -> None:
        self.clock = clock
        self.connect_to: ConnectTo = {} if connect_to is None else connect_to
        self.faults = Faults()
        self.identity_providers = ProviderClient(self.connect_to)
        self.admin = KeySet(
            access_key_id="AKIA" + secrets.token_hex(8).upper(),
            secret_access_key=secrets.token_urlsafe(30),
            session_token="",
            expires_at=float("inf"),
            caller=Caller(f"arn:aws:iam::{ACCOUNT_ID}:user/moto", ""),
            session_name="",
        )
        self.account_id = ACCOUNT_ID
        self.region = REGION
        self._calls = CallLog()
        self._keys = KeyRing(self.admin)
        self._moto = MotoBackend()
        self._iam = IamView(clock)
        self._verifier = TokenVerifier(self.identity_providers, clock)
        self._sts = SecurityTokenService(self._moto, self._iam, self._verifier, self._keys, clock)
        self._closing = threading.Event()
        self._iam_lock = threading.Lock()
        self._control = Control(self.faults, self._calls)
        authority = authority or Authority("AWS endpoint CA")
        self._tls = server_context(authority.issue(["localhost"], {LOOPBACK, address}))
        self.ca_pem = authority.pem
        self._address = address
        self._servers: tuple[LoopbackServer, ...] = ()

    def __enter__(self) -> Self:
        """Start moto and both listeners."""
        handler = self._handler()
        self._moto.start()
        self._servers = (
            LoopbackServer(handler, address=self._address, clock=self.clock),
            LoopbackServer(handler, tls=lambda: self._tls, address=self._address, clock=self.clock),
        )
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything and join every thread."""
        self._closing.set()
        for server in self._servers:
            server.close()
        self._moto.close()

    @property
    def url(self) -> str:
        """The endpoint URL of every service: http://127.0.0.1:PORT, by default."""
        return f"http://{self._address}:{self._servers[0].server_port}"

    @property
    def tls_url(self) -> str:
        """The same over TLS: https://localhost:PORT, by default, by the CA in `ca_pem`."""
        host = "localhost" if self._address == LOOPBACK else self._address
        return f"https://{host}:{self._servers[1].server_port}"

    @property
    def grant_seconds(self) -> float | None:
        """Grant at most this long; None grants what is asked for."""
        return self._sts.grant_seconds

    @grant_seconds.setter
    def grant_seconds(self, seconds: float | None) -> None:
        self._sts.grant_seconds = seconds

    @property
    def propagation_seconds(self) -> float:
        """How long the next IAM changes take to reach STS and permissions, by `clock`; AWS takes 0 to about 15 s."""
        return self._iam.propagation_seconds

    @propagation_seconds.setter
    def propagation_seconds(self, seconds: float) -> None:
        self._iam.propagation_seconds = seconds

    def calls(self, operation: str | None = None) -> tuple[CallRecord, ...]:
        """Return the calls to STS since the last reset, oldest first; of one operation where it is given."""
        return tuple(call for call in self._calls.all() if operation in (None, call.operation))

    def issued(self) -> tuple[KeySet, ...]:
        """Return every set issued since the last reset, oldest first."""
        return self._keys.issued()

    def reset(self) -> None:
        """Forget state, faults, calls, issued sets and settings; the admin key and the ports stay."""
        self.faults.clear()
        self._calls.clear()
        self._keys.clear()
        self._verifier.forget_keys()
        self._moto.reset()
        self._iam.clear()
        self.grant_seconds = None
        self.identity_providers.public_cas = ()
        self.identity_providers.timeout_seconds = TIMEOUT_SECONDS

    def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer to one request, or None for a connection to be cut."""
        operation = Operation.of(request)
        service = operation.service
        outcome = "ok"
        faults = self.faults.strike(service=service, operation=operation.name)
        if FaultKind.SLOW in faults:
            self._closing.wait(faults[FaultKind.SLOW].seconds)
        response: HttpResponse | None
        try:
            if FaultKind.DOWN in faults:
                outcome, response = "fault:down", None
            else:
                response = self._judge(request, operation, faults)
                outcome = _spoiled(faults) or "ok"
        except Refused as refused:
            outcome, response = refused.code, refusal(refused, service)
        if service == "sts":
            session_name = operation.parameters.get("RoleSessionName", "")[:64]
            self._calls.add(CallRecord(self.clock(), operation.name, outcome, session_name))
        return response

    def _judge(self, request: HttpRequest, operation: Operation, faults: Mapping[FaultKind, object]) -> HttpResponse:
        web_identity = (operation.service, operation.name) == ("sts", "AssumeRoleWithWebIdentity")
        if FaultKind.REFUSE_5XX in faults:
            raise Refused(Reason.UNAVAILABLE)
        if FaultKind.THROTTLE in faults:
            raise Refused(Reason.THROTTLED)
        if FaultKind.GARBAGE in faults:
            return HttpResponse(200, {"Content-Type": "text/html"}, _GARBAGE)
        if web_identity and FaultKind.IDP_COMMUNICATION_ERROR in faults:
            raise Refused(Reason.IDP_COMMUNICATION)
        if FaultKind.REGION_DISABLED in faults:
            raise Refused(Reason.REGION_DISABLED, region=REGION)
        if FaultKind.POLICY_TOO_LARGE in faults:
            raise Refused(Reason.POLICY_TOO_LARGE)
        if web_identity:
            response = self._sts.assume_role_with_web_identity(operation.parameters, faults)
        else:
            response = self._signed(request, operation, faults)
        if FaultKind.TRUNCATED in faults:
            half = response.body[: len(response.body) // 2]
            return HttpResponse(response.status, response.headers, half)
        return response

    def _signed(self, request: HttpRequest, operation: Operation, faults: Mapping[FaultKind, object]) -> HttpResponse:
        service, name = operation.service, operation.name
        if not service:
            raise Refused(Reason.INVALID_ACTION, action=name, version=operation.version)
        signer = authenticate(request, service, self._keys, self.clock)
        if service == "sts":
            if name == "AssumeRole":
                return self._sts.assume_role(operation.parameters, signer, faults)
            if name != "GetCallerIdentity":  # which needs no permission
                raise Refused(Reason.INVALID_ACTION, action=name, version=operation.version)
            return self._moto.forward(request)
        action, resource = f"{service}:{name}", _resource(operation, request)
        if not self._sts.may(signer.caller, action, resource):
            reason = Reason.NOT_AUTHORIZED_JSON if service == "ssm" else Reason.NOT_AUTHORIZED
            raise Refused(reason, user=signer.caller.arn, action=action, resource=resource)
        if name in _CHECKED:
            check_provider(operation.parameters)
        if service != "iam" or _READ_ONLY.match(name):
            return self._moto.forward(request)
        return self._change_iam(request, operation)

    def _change_iam(self, request: HttpRequest, operation: Operation) -> HttpResponse:
        # One change at a time, so that a later snapshot is never followed by an earlier one.
        with self._iam_lock:
            ours = operation.name in _CLIENT_ID_CHANGES
            response = self._change_client_ids(operation) if ours else self._moto.forward(request)
            if response.status < HTTPStatus.BAD_REQUEST:
                self._iam.changed(self._moto.snapshot())
        return response

    def _change_client_ids(self, operation: Operation) -> HttpResponse:
        arn = operation.parameters.get("OpenIDConnectProviderArn", "")
        try:
            self._moto.change_client_ids(operation.name, arn, operation.parameters.get("ClientID", ""))
        except KeyError as error:
            raise Refused(Reason.NO_SUCH_PROVIDER, arn=arn) from error
        return empty_success(operation)

    def _handler(self) -> type[LoopbackHandler]:
        aws = self

        class Handler(LoopbackHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                length = self.headers.get("Content-Length", "0")
                if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
                    self.close_connection = True
                    self.reply(413, {"Content-Type": "text/plain"}, b"Content-Length: digits, at most 1 MiB\n")
                    return
                body = self.rfile.read(int(length))
                request = HttpRequest(self.command, self.path, tuple(self.headers.items()), body)
                controls = self.path.startswith(CONTROL_PREFIX)
                response = aws._control.respond(request) if controls else aws.respond(request)
                if response is None:
                    self.drop()
                else:
                    self.reply(response.status, response.headers, response.body)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - names that http.server calls

        return Handler


def _spoiled(faults: Mapping[FaultKind, object]) -> str | None:
    """Return the outcome of an answer that a fault spoiled, or None."""
    lies = (
        FaultKind.GARBAGE,
        FaultKind.TRUNCATED,
        FaultKind.EXPIRED_SET,
        FaultKind.FAR_EXPIRY,
        FaultKind.EMPTY_SECRET,
        FaultKind.MISSING_FIELD,
    )
    return next((f"fault:{kind}" for kind in lies if kind in faults), None)


def _resource(operation: Operation, request: HttpRequest) -> str:
    """Return the ARN that a call is about: one parameter's where it names one, `*` for everything else."""
    if operation.service != "ssm":
        return "*"
    try:
        name = json.loads(request.body).get("Name")
    except (ValueError, AttributeError):
        name = None
    if not isinstance(name, str):
        return "*"
    return f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/{name.removeprefix('/')}"
