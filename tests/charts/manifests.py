"""What holds for every object of a chart: valid for each Kubernetes, restricted, nothing there twice."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.charts.helm import Json

__all__ = (
    "CLUSTER_KINDS",
    "VERSIONS",
    "containers",
    "not_restricted",
    "one",
    "pods",
    "problems",
    "there_twice",
    "validator",
)

# Only `make test-charts` installs it.
_schemas: Any = importlib.import_module("kubernetes_validate")
_jsonschema: Any = importlib.import_module("jsonschema")

VERSIONS: Final = ("1.29", "1.36", _schemas.latest_version())
"""The oldest that the charts take, that of the cluster tests, and the newest that there is a schema of."""

CLUSTER_KINDS: Final = frozenset({"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition"})
_CUSTOM: Final = frozenset({"PodMonitor", "PrometheusRule"})
# Pod Security Standards, "Restricted": the kinds of volumes.
_VOLUMES: Final = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
                             "persistentVolumeClaim", "projected", "secret"})  # fmt: skip


def one(objects: Iterable[Json], kind: str, name: str | None = None) -> Json:
    """Return the one object of a kind, and of a name where one is given."""
    (found,) = [each for each in objects if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return found


def validator(schema: Json) -> Any:  # noqa: ANN401 - of a package without types
    """Return a validator of jsonschema for a schema of draft 2020-12, after checking the schema itself."""
    _jsonschema.Draft202012Validator.check_schema(schema)
    return _jsonschema.Draft202012Validator(schema)


def pods(objects: Iterable[Json]) -> Iterator[Json]:
    """Return the spec of each pod, those in templates too."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif each["kind"] in {"Job", "Deployment"}:
            yield each["spec"]["template"]["spec"]


def containers(pod: Json) -> list[Json]:
    """Return every container of a pod's spec."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def problems(objects: list[Json]) -> list[str]:
    """Return everything that is wrong with rendered objects, one line each."""
    return [
        *(line for each in objects for line in _invalid(each)),
        *(line for pod in pods(objects) for line in (*not_restricted(pod), *there_twice(pod))),
        *_names(objects),
    ]


def _invalid(each: Json) -> Iterator[str]:
    if each["kind"] in _CUSTOM:
        return
    for version in VERSIONS:
        try:
            _schemas.validate(each, version, strict=True)
        except (_schemas.ValidationError, _schemas.SchemaNotFoundError) as error:
            yield f"{each['kind']} {each['metadata'].get('name')} on {version}: {error}"


def _names(objects: list[Json]) -> Iterator[str]:
    seen = set()
    for each in objects:
        meta = each["metadata"]
        key = each["kind"], meta["name"]
        if key in seen:
            yield f"{key} is there twice"
        seen.add(key)
        limit = 63 if each["kind"] in {"Pod", "Job"} else 253
        texts = {"name": meta["name"], **meta.get("labels", {}), **meta.get("annotations", {})}
        yield from (f"{key}: {name} is no text" for name, text in texts.items() if not isinstance(text, str))
        yield from (
            f"{key}: label {name} is too long" for name, text in meta.get("labels", {}).items() if len(text) > 63
        )
        if len(str(meta["name"])) > limit:
            yield f"{key} has a name over {limit}"


def not_restricted(pod: Json) -> Iterator[str]:
    """Return what Pod Security "restricted" refuses of a pod whose containers set everything themselves."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} is set"
    for volume in pod.get("volumes", []):
        if kinds := volume.keys() - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is of {kinds}"
    for container in containers(pod):
        context = container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") != 0,
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities": context.get("capabilities") == {"drop": ["ALL"]},
            "seccompProfile": context.get("seccompProfile") == {"type": "RuntimeDefault"},
            "privileged": not context.get("privileged"),
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        yield from (f"{container['name']}: {key}" for key, good in wanted.items() if not good)
        probes = [container[name] for name in container if name.endswith("Probe")]
        yield from (
            f"{container['name']}: a probe has a host" for probe in probes if "host" in probe.get("httpGet", {})
        )


def there_twice(pod: Json) -> Iterator[str]:
    """Return each list key that a pod's spec has twice, which server-side apply refuses, and each mount of nothing."""
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    yield from _twice("volume", volumes)
    yield from _twice("container", [container["name"] for container in containers(pod)])
    for container in containers(pod):
        yield from _twice("variable", [variable["name"] for variable in container.get("env", [])])
        mounts = container.get("volumeMounts", [])
        yield from _twice("mountPath", [mount["mountPath"] for mount in mounts])
        yield from _twice("port", [port["containerPort"] for port in container.get("ports", [])])
        yield from (f"no volume {mount['name']}" for mount in mounts if mount["name"] not in volumes)


def _twice(what: str, names: list[Any]) -> Iterator[str]:
    yield from (f"{what} {name} is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
