"""The strict AWS: one URL for STS, IAM and SSM, in front of moto, which holds the state."""

import re
import threading
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Self

from examples.local.clock import Clock, system_clock
from examples.local.control import CONTROL_PREFIX, Control
from examples.local.denials import check_denials
from examples.local.errors import AwsError, Reason
from examples.local.faults import FaultKind, Faults, corruption
from examples.local.iam_view import IamView
from examples.local.idp import TIMEOUT_SECONDS, ConnectTo, ProviderClient
from examples.local.limits import check_parameters, check_provider
from examples.local.loopback import LOOPBACK, LoopbackHandler, LoopbackServer
from examples.local.moto_backend import DEFAULT_ACCOUNT, REGION, MotoBackend
from examples.local.moto_iam import MotoIam
from examples.local.partitions import DEFAULT_PARTITION, Account, partition_of_host
from examples.local.pki import Authority, serve_names, server_context
from examples.local.quotas import Quotas, check_change
from examples.local.records import AccessKey, CallLog, CallRecord, KeyRing, administrator
from examples.local.signature import authenticate
from examples.local.simulator import simulated
from examples.local.sts import SecurityTokenService
from examples.local.verify import TokenVerifier
from examples.local.wire import HttpRequest, HttpResponse, Operation, empty_success, error_response, resource_of

_MAX_BODY = 1 << 20
_READ_ONLY = re.compile(r"(Get|List|Simulate|Generate)[A-Z]")
_CHECKED = frozenset({"CreateOpenIDConnectProvider", "UpdateOpenIDConnectProviderThumbprint"})
_CLIENT_ID_CHANGES = frozenset({"AddClientIDToOpenIDConnectProvider", "RemoveClientIDFromOpenIDConnectProvider"})
_GARBAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Welcome to the guest network</body></html>"


class Aws:
    """STS, IAM and SSM, over HTTP at `url` and over TLS at `tls_url`; one account, until `add_account`.

    Each request is checked before it is forwarded to moto: AssumeRoleWithWebIdentity by its token; each other
    operation by its signature and, for issued credentials, by the permission policies of their role.

    Args:
        clock: wall time in seconds, for tokens, for the lifetime of issued credentials, and for IAM's propagation.
        connect_to: the addresses that serve identity providers; read at each call, so entries can be added later.
        authority: the CA of the TLS certificate (for `localhost`, 127.0.0.1, `address` and host names of AWS).
        address: the address of both URLs; use another than loopback only in a separate network namespace.
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
        self.admin = administrator(DEFAULT_ACCOUNT)
        self.partition = DEFAULT_PARTITION
        self.account_id = DEFAULT_ACCOUNT.id
        self.region = REGION
        self.quotas = Quotas()
        self._calls = CallLog()
        self._keys = KeyRing(self.admin)
        self._moto = MotoBackend()
        self._iam = IamView(clock, self._moto.snapshot)
        self._verifier = TokenVerifier(self.identity_providers, clock)
        self._sts = SecurityTokenService(self._iam, self._verifier, self._keys, clock)
        self._closing = threading.Event()
        self._iam_lock = threading.Lock()
        self._control = Control(self.faults, self._calls)
        authority = authority or Authority("AWS endpoint CA")
        self._tls = server_context(authority.issue(["localhost"], {LOOPBACK, address}))
        serve_names(self._tls, authority, lambda name: partition_of_host(name) is not None)
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
        """Stop all parts and join their threads."""
        self._closing.set()
        for server in self._servers:
            server.close()
        self._moto.close()

    @property
    def url(self) -> str:
        """The endpoint URL of all services: http://127.0.0.1:PORT, by default."""
        return f"http://{self._address}:{self._servers[0].server_port}"

    @property
    def tls_url(self) -> str:
        """The endpoint URL over TLS: https://localhost:PORT, by default; `ca_pem` verifies its certificate."""
        host = "localhost" if self._address == LOOPBACK else self._address
        return f"https://{host}:{self._servers[1].server_port}"

    @property
    def max_lifetime_seconds(self) -> float | None:
        """The maximum lifetime of issued credentials in seconds; None applies the requested DurationSeconds."""
        return self._sts.max_lifetime_seconds

    @max_lifetime_seconds.setter
    def max_lifetime_seconds(self, seconds: float | None) -> None:
        self._sts.max_lifetime_seconds = seconds

    @property
    def propagation_seconds(self) -> float:
        """Seconds, by `clock`, until later IAM changes affect STS and permissions; at AWS 0 to about 15 s."""
        return self._iam.propagation_seconds

    @propagation_seconds.setter
    def propagation_seconds(self, seconds: float) -> None:
        self._iam.propagation_seconds = seconds

    def make_iam_older(self, seconds: float) -> None:
        """Move the CreateDate of all providers and roles back by `seconds`."""
        self._moto.make_older(seconds)

    def add_account(self, account: Account) -> AccessKey:
        """Add an account until the next reset, and return the key of its administrator.

        Its partition is that of the host name of the request, or `partition` for the host names of the URLs.
        """
        self._moto.add(account)
        keys = administrator(account)
        self._keys.add_admin(keys)
        return keys

    def calls(self, operation: str | None = None) -> tuple[CallRecord, ...]:
        """Return the calls to STS since the last reset, oldest first; with `operation`, only its calls."""
        return tuple(call for call in self._calls.all() if operation in (None, call.operation))

    def invalidate_credentials(self) -> None:
        """Make all issued credentials unknown, as AWS does for those of a role that was deleted."""
        self._keys.clear()

    def issued(self) -> tuple[AccessKey, ...]:
        """Return the credentials issued since the last reset, oldest first."""
        return self._keys.issued()

    def reset(self) -> None:
        """Delete state, faults, calls, issued credentials and settings; the admin key and the ports stay."""
        self.faults.clear()
        self._calls.clear()
        self._keys.clear()
        self._keys.forget_admins()
        self.partition = DEFAULT_PARTITION
        self._verifier.forget_keys()
        self._moto.reset()
        self._iam.clear()
        self.max_lifetime_seconds = None
        self.quotas = Quotas()
        self.identity_providers.public_cas = ()
        self.identity_providers.timeout_seconds = TIMEOUT_SECONDS

    def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response to one request, or None when the connection must be closed without a response."""
        operation = Operation.of(request)
        service = operation.service
        outcome, begun = "ok", self._calls.begin()
        faults = self.faults.hits(service=service, operation=operation.name)
        if FaultKind.SLOW in faults:
            self._closing.wait(faults[FaultKind.SLOW].seconds)
        response: HttpResponse | None
        try:
            if FaultKind.DOWN in faults:
                outcome, response = "fault:down", None
            else:
                response = self._process(request, operation, faults)
                outcome = corruption(faults) or "ok"
        except AwsError as error:
            outcome, response = error.code, error_response(error, service)
        if service == "sts":
            session_name = operation.parameters.get("RoleSessionName", "")[:64]
            self._calls.add(CallRecord(self.clock(), operation.name, outcome, session_name), begun)
        return response

    def _process(self, request: HttpRequest, operation: Operation, faults: Mapping[FaultKind, object]) -> HttpResponse:
        host = (request.header("host") or "").partition(":")[0]
        partition = partition_of_host(host) or self.partition
        web_identity = (operation.service, operation.name) == ("sts", "AssumeRoleWithWebIdentity")
        if FaultKind.SERVICE_UNAVAILABLE in faults:
            raise AwsError(Reason.UNAVAILABLE)
        if FaultKind.THROTTLE in faults:
            raise AwsError(Reason.THROTTLED)
        if FaultKind.GARBAGE in faults:
            return HttpResponse(200, {"Content-Type": "text/html"}, _GARBAGE)
        if web_identity and FaultKind.IDP_COMMUNICATION_ERROR in faults:
            raise AwsError(Reason.IDP_COMMUNICATION)
        if FaultKind.REGION_DISABLED in faults:
            raise AwsError(Reason.REGION_DISABLED, region=REGION)
        if FaultKind.POLICY_TOO_LARGE in faults:
            raise AwsError(Reason.POLICY_TOO_LARGE)
        if web_identity:
            response = self._sts.assume_role_with_web_identity(operation.parameters, partition, faults)
        else:
            response = self._signed(request, operation, partition, faults)
        if FaultKind.TRUNCATED in faults:
            half = response.body[: len(response.body) // 2]
            return HttpResponse(response.status, response.headers, half)
        return response

    def _signed(
        self, request: HttpRequest, operation: Operation, partition: str, faults: Mapping[FaultKind, object]
    ) -> HttpResponse:
        service, name = operation.service, operation.name
        if not service:
            raise AwsError(Reason.INVALID_ACTION, action=name, version=operation.version)
        signer = authenticate(request, service, partition, self._keys, self.clock)
        account = signer.caller.account
        if service == "sts":
            if name == "AssumeRole":
                return self._sts.assume_role(operation.parameters, signer, faults)
            if name != "GetCallerIdentity":
                raise AwsError(Reason.INVALID_ACTION, action=name, version=operation.version)
            return self._sts.identity(signer)
        action, resource = f"{service}:{name}", resource_of(operation, request, account, REGION)
        if not self._sts.may(signer.caller, action, resource):
            reason = Reason.NOT_AUTHORIZED_JSON if service == "ssm" else Reason.NOT_AUTHORIZED
            raise AwsError(reason, user=signer.caller.arn, action=action, resource=resource)
        check_denials(faults, user=signer.caller.arn, action=action, resource=resource)
        if name in _CHECKED:
            check_provider(operation.parameters)
        if name == "SimulatePrincipalPolicy":
            return simulated(operation, self._iam.current())
        if name == "GetAccountSummary":
            self._moto.iam(account).set_quotas(self.quotas)
        if service != "iam" or _READ_ONLY.match(name):
            return self._moto.forward(request, account)
        return self._change_iam(request, operation, account)

    def _change_iam(self, request: HttpRequest, operation: Operation, account: Account) -> HttpResponse:
        # One change at a time, so that an older snapshot never replaces a newer one.
        check_parameters(operation.parameters, ())
        with self._iam_lock:
            iam = self._moto.iam(account)
            check_change(operation, self.quotas, iam)
            client_ids = operation.name in _CLIENT_ID_CHANGES
            response = _change_client_ids(operation, iam) if client_ids else self._moto.forward(request, account)
            if response.status < HTTPStatus.BAD_REQUEST:
                self._iam.changed()
        return response

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


def _change_client_ids(operation: Operation, iam: MotoIam) -> HttpResponse:
    arn = operation.parameters.get("OpenIDConnectProviderArn", "")
    try:
        iam.change_client_ids(operation.name, arn, operation.parameters.get("ClientID", ""))
    except KeyError as error:
        raise AwsError(Reason.NO_SUCH_PROVIDER, arn=arn) from error
    return empty_success(operation)
