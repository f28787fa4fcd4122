"""Rules for an application's environment: variables and files that override the endpoint, leak, or are missing. Pure.

Each rule follows from the behaviour of real SDKs: which variable they read first, and which of two sources they use.
``docs/application.md`` has the same rules for people.
"""

from typing import Final

from sidecar.application.conditions import (
    absent,
    all_filled,
    at_home,
    files,
    filled,
    first_alone,
    no_region,
    other,
    present,
    proxied,
    proxied_for_some,
    region_unread,
    regions_differ,
    unlike_file,
    without_file,
)
from sidecar.application.rule import AUTH_TOKEN, BOTO_CONFIG, HOME_FILES, JAVA_CREDENTIALS_FILE, Rule
from sidecar.application.variables import AUTH_TOKEN_FILE_VARIABLE, FULL_URI

__all__ = ("NEEDS", "RULES")

_PROXIES: Final = ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_WEB_IDENTITY: Final = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN")
_NO_WEB_IDENTITY: Final = (
    "remove both; if a webhook adds them, remove eks.amazonaws.com/role-arn from the ServiceAccount "
    "or add this container to the pod's eks.amazonaws.com/skip-containers"
)

RULES: Final = (
    Rule(
        "web_identity_variables",
        _WEB_IDENTITY,
        all_filled,
        "boto3, the AWS CLI, Go, Rust, JavaScript v3, object_store and MinIO exchange the token themselves and do not "
        "use the sidecar, others use the sidecar: two sessions in one pod",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "web_identity_without_role",
        _WEB_IDENTITY,
        first_alone,
        "without AWS_ROLE_ARN boto3, the AWS CLI, Go, Rust and MinIO fail and do not use the sidecar",
        _NO_WEB_IDENTITY,
    ),
    Rule(
        "role_without_web_identity",
        _WEB_IDENTITY[::-1],
        first_alone,
        "if AWS_WEB_IDENTITY_TOKEN_FILE is set too, most SDKs do not use the sidecar",
        _NO_WEB_IDENTITY,
        for_some=True,
    ),
    Rule(
        "static_keys",
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
        filled,
        "all SDKs use access keys of the environment first (the last two names: Go and Java v1), and these keys are "
        "not refreshed",
        "remove them, also from envFrom and the image",
    ),
    Rule(
        "profile_variable",
        ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        present,
        "SDKs use a profile before the endpoint, and a profile that is in no file is an error in boto3, the AWS CLI "
        "and Go, in the first two also the empty name",
        "unset it; an empty value does not help",
    ),
    Rule(
        "relative_uri",
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        present,
        "SDKs other than Go use it instead of the full URI, boto3, Rust and object_store also if it is empty: "
        "they connect to 169.254.170.2",
        "unset it; an empty value does not help",
    ),
    Rule(
        "other_endpoint",
        (FULL_URI,),
        other,
        "its endpoint or profile differs from the printed one, and SDKs use this value",
        "use the printed line, or set --profile and --endpoint-port",
    ),
    Rule(
        "other_auth_token_file",
        (AUTH_TOKEN_FILE_VARIABLE,),
        other,
        "its file differs from the printed one, and the endpoint answers 403 to another auth token",
        "use the printed line, or set --auth-token-file",
    ),
    Rule(
        "auth_token_differs",
        (AUTH_TOKEN,),
        unlike_file,
        "it differs from the auth-token file: Java, JavaScript v2 and OpenDAL send the variable, others the file, "
        "and the endpoint answers 403 to one of them",
        "remove it, or set both from one Secret",
        for_some=True,
    ),
    Rule(
        "auth_token_variable",
        (AUTH_TOKEN,),
        without_file,
        "the auth-token file cannot be read here, so the two were not compared; SDKs differ in which one they send",
        "remove it, or mount the profile's volume in this container",
        for_some=True,
    ),
    Rule(
        "proxy_for_loopback",
        _PROXIES,
        proxied,
        "object_store, OpenDAL and the Rust SDK use the proxy for 127.0.0.1 too: the proxy receives the auth token, "
        "and the endpoint rejects the request",
        "set NO_PROXY and no_proxy as `aws-oidc-sidecar env` prints them",
        for_some=True,
    ),
    Rule(
        "no_proxy_form",
        _PROXIES,
        proxied_for_some,
        "NO_PROXY or no_proxy exempts 127.0.0.1 in a form that only some clients read: *, a network (CIDR), a port, a "
        "suffix, or white space within an entry; other clients send the auth token to the proxy",
        "set NO_PROXY and no_proxy as `aws-oidc-sidecar env` prints them, with 127.0.0.1 between commas; to exempt all "
        "hosts, unset the proxy variables instead of using *: curl and Python read * in a list as a name",
        for_some=True,
    ),
    Rule(
        "endpoint_url",
        ("AWS_ENDPOINT_URL",),
        filled,
        "current SDKs send the requests of all services there, also of STS, with the session token",
        "remove it, or set AWS_ENDPOINT_URL_<SERVICE> for one service",
    ),
    Rule(
        "shared_files",
        tuple(HOME_FILES.values()),
        files,
        "most SDKs use access keys and credential_process of such a file before the endpoint",
        "remove it, unless the file has neither or this container gets its credentials from it",
    ),
    Rule(
        "boto_files",
        ("AWS_CREDENTIAL_FILE", BOTO_CONFIG),
        files,
        "boto3 and the AWS CLI use access keys of such a file before the endpoint",
        "remove it, unless the file has none",
        for_some=True,
    ),
    Rule(
        "java_credentials_file",
        (JAVA_CREDENTIALS_FILE,),
        files,
        "the Java SDK v1 uses access keys of this file before the endpoint; other SDKs do not read the variable",
        "remove it, unless the file has none, or set it to /dev/null",
        for_some=True,
    ),
    Rule(
        "home_files",
        tuple(HOME_FILES),
        at_home,
        "most SDKs use access keys and credential_process of this file before the endpoint",
        "remove the file, or set its variable to /dev/null: "
        + " and ".join(f"{variable} for {file}" for file, variable in HOME_FILES.items()),
    ),
    Rule(
        "region_missing",
        _REGIONS,
        no_region,
        "no region is set: boto3, the AWS CLI, Go, Java, JavaScript and Rust cannot call a regional service unless the "
        "code names a region, and C++ uses us-east-1",
        "set both variables to one region, as `aws-oidc-sidecar env --region REGION` prints them",
        for_some=True,
    ),
    Rule(
        "regions_differ",
        _REGIONS,
        regions_differ,
        "their regions differ: boto3 and the AWS CLI v1 read AWS_DEFAULT_REGION, C++ reads it first; Java and "
        "JavaScript read AWS_REGION, the AWS CLI v2, Go, Rust and .NET read it first; without the variable that it "
        "reads, an SDK uses the file",
        "set both variables to one region, as `aws-oidc-sidecar env --region REGION` prints them",
        for_some=True,
    ),
)
"""Rules for variables and files that must not be set; ``docs/application.md`` lists all of them."""

NEEDS: Final = (
    Rule(
        "uri_missing",
        (FULL_URI,),
        absent,
        "it is not set, and without it no SDK uses the sidecar",
        "set it in this container as `aws-oidc-sidecar env` prints it, or use credential_process",
    ),
    Rule(
        "auth_token_file_missing",
        (AUTH_TOKEN_FILE_VARIABLE, AUTH_TOKEN),
        absent,
        "it is not set: SDKs send no auth token and get 403, and object_store sends no request",
        "set it in this container as `aws-oidc-sidecar env` prints it",
    ),
    Rule(
        "default_region_missing",
        _REGIONS[::-1],
        region_unread,
        "only AWS_REGION is set: boto3 and the AWS CLI v1 do not read it, and find no region",
        "set both variables to one region, as `aws-oidc-sidecar env` prints them",
        for_some=True,
    ),
    Rule(
        "aws_region_missing",
        _REGIONS,
        region_unread,
        "only AWS_DEFAULT_REGION is set: Java and JavaScript do not read it, and find no region",
        "set both variables to one region, as `aws-oidc-sidecar env` prints them",
        for_some=True,
    ),
)
"""Rules for variables that must be set, as ``aws-oidc-sidecar env`` prints them."""
