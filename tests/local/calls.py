"""Raw calls to the local AWS, so that tests see the bytes of each response."""

import contextlib
import http.client
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from examples.local.records import AccessKey
from examples.local.world import World

FORM = "application/x-www-form-urlencoded; charset=utf-8"
ROLE_NAME = "KubernetesParameterStoreRole"
ROLE_ARN = f"arn:aws:iam::123456789012:role/{ROLE_NAME}"
IDENTITY = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def element(self, name: str) -> str:
        match = re.search(rf"<{name}>(.*?)</{name}>", self.text, re.DOTALL)
        assert match is not None, f"no {name} in {self.text}"
        return match[1]

    @property
    def code(self) -> str:
        if self.headers["content-type"] == "application/x-amz-json-1.1":
            match = re.search(r'"__type": "(\w+)"', self.text)
            assert match is not None
            return match[1]
        return self.element("Code")

    @property
    def without_request_id(self) -> bytes:
        return re.sub(rb"<RequestId>.*?</RequestId>", b"", self.body)


def send(world: World, body: bytes, headers: Mapping[str, str], *, method: str = "POST", path: str = "/") -> Answer:
    host = urlsplit(world.aws.url)
    connection = http.client.HTTPConnection(str(host.hostname), host.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())


def query(world: World, parameters: Mapping[str, str]) -> Answer:
    """Send an unsigned request of the query protocol."""
    return send(world, urlencode(parameters).encode(), {"Content-Type": FORM})


def web_identity(world: World, token: str, **overrides: str | None) -> Answer:
    """Request credentials of the default role; the value None as an override leaves a parameter out."""
    parameters = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": ROLE_ARN,
        "RoleSessionName": "test-session",
        "WebIdentityToken": token,
        **overrides,
    }
    return query(world, {name: value for name, value in parameters.items() if value is not None})


def signed_headers(
    world: World,
    keys: AccessKey,
    body: bytes,
    *,
    service: str = "sts",
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    request = AWSRequest("POST", world.aws.url + "/", headers={"Content-Type": FORM, **(headers or {})}, data=body)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    SigV4Auth(credentials, service, "eu-central-1").add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def signed(world: World, keys: AccessKey, parameters: Mapping[str, str], *, service: str = "sts") -> Answer:
    """Send a signed request of the query protocol."""
    body = urlencode(parameters).encode()
    return send(world, body, signed_headers(world, keys, body, service=service))


def get_parameter(world: World, keys: AccessKey, body: bytes = b'{"Name": "/demo/image"}') -> Answer:
    """Send a signed request of the JSON protocol."""
    extra = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}
    return send(world, body, signed_headers(world, keys, body, service="ssm", headers=extra))


def issued(world: World) -> AccessKey:
    """Set up trust, exchange a token, and return the issued credentials as AWS stores them."""
    world.set_up_trust()
    answer = web_identity(world, world.issuer.mint())
    assert answer.status == 200, answer.text
    return world.aws.issued()[-1]


def session(keys: AccessKey) -> boto3.Session:
    return boto3.Session(keys.access_key_id, keys.secret_access_key, keys.session_token, region_name="eu-central-1")


@contextlib.contextmanager
def aws_error(code: str, says: str = "") -> Iterator[None]:
    """Expect boto3 to raise a ClientError with this code, and with this text in its message."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code, caught.value
    assert says in caught.value.response["Error"]["Message"]
