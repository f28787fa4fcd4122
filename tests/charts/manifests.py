"""Checks for every object of a chart: valid for each Kubernetes version, restricted, no duplicates."""

import importlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tests.charts.helm import Json

__all__ = (
    "CLUSTER_KINDS",
    "VERSIONS",
    "containers",
    "duplicates",
    "not_restricted",
    "one",
    "pods",
    "problems",
    "validator",
)

# Only `make test-charts` installs it.
_schemas: Any = importlib.import_module("kubernetes_validate")
_jsonschema: Any = importlib.import_module("jsonschema")

VERSIONS: Final = ("1.29", "1.36", _schemas.latest_version())
"""The oldest version that the charts support, that of the cluster tests, and the newest with a schema."""

CLUSTER_KINDS: Final = frozenset({"ClusterRole", "ClusterRoleBinding", "Namespace", "CustomResourceDefinition"})
_CUSTOM: Final = frozenset({"PodMonitor", "PrometheusRule"})
# kube-score and checkov report user ids up to 10,000.
_LOWEST_ID: Final = 10_001
# Pod Security Standards, "Restricted": the kinds of volumes.
_VOLUMES: Final = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
                             "persistentVolumeClaim", "projected", "secret"})  # fmt: skip


def one(objects: Iterable[Json], kind: str, name: str | None = None) -> Json:
    """Return the only object of a kind, and of a name if one is given."""
    (found,) = [each for each in objects if each["kind"] == kind and name in {None, each["metadata"]["name"]}]
    return found


def validator(schema: Json) -> Any:  # noqa: ANN401 - of a package without types
    """Return a validator of jsonschema for a schema of draft 2020-12, after checking the schema itself."""
    _jsonschema.Draft202012Validator.check_schema(schema)
    return _jsonschema.Draft202012Validator(schema)


def pods(objects: Iterable[Json]) -> Iterator[Json]:
    """Yield the spec of each pod, also of pod templates."""
    for each in objects:
        if each["kind"] == "Pod":
            yield each["spec"]
        elif each["kind"] in {"Job", "Deployment"}:
            yield each["spec"]["template"]["spec"]


def containers(pod: Json) -> list[Json]:
    """Return every container of a pod's spec."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def problems(objects: list[Json]) -> list[str]:
    """Return one line for each error in rendered objects."""
    return [
        *(line for each in objects for line in _invalid(each)),
        *(line for pod in pods(objects) for line in (*not_restricted(pod), *duplicates(pod))),
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
            yield f"duplicate object {key}"
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
    """Yield what Pod Security "restricted" and scanners reject in a pod; its containers must set all fields."""
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
            "runAsUser": context.get("runAsUser", _LOWEST_ID) >= _LOWEST_ID,
            "runAsGroup": context.get("runAsGroup", _LOWEST_ID) >= _LOWEST_ID,
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


def duplicates(pod: Json) -> Iterator[str]:
    """Yield each duplicate list key of a pod's spec, which server-side apply rejects, and mounts without a volume."""
    volumes = [volume["name"] for volume in pod.get("volumes", [])]
    yield from _duplicate_names("volume", volumes)
    yield from _duplicate_names("container", [container["name"] for container in containers(pod)])
    for container in containers(pod):
        yield from _duplicate_names("variable", [variable["name"] for variable in container.get("env", [])])
        mounts = container.get("volumeMounts", [])
        yield from _duplicate_names("mountPath", [mount["mountPath"] for mount in mounts])
        yield from _duplicate_names("port", [port["containerPort"] for port in container.get("ports", [])])
        yield from (f"no volume {mount['name']}" for mount in mounts if mount["name"] not in volumes)


def _duplicate_names(what: str, names: list[Any]) -> Iterator[str]:
    yield from (f"duplicate {what} {name}" for name in sorted({name for name in names if names.count(name) > 1}))
