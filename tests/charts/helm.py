"""Runs Helm on the charts, and reads what it renders as strictly as an API server does."""

import functools
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.cluster import build
from tests.cluster.layout import CHECKOUT
from tests.cluster.versions import HELM

__all__ = (
    "CASES",
    "CHART",
    "CHARTS",
    "LIBRARY",
    "NAMESPACE",
    "RELEASE",
    "HelmError",
    "Json",
    "helm",
    "load",
    "render",
    "rendered_text",
)

Json = dict[str, Any]
CHARTS: Final = CHECKOUT / "charts"
CHART: Final = CHARTS / "aws-oidc-sidecar"
LIBRARY: Final = CHARTS / "aws-oidc-sidecar-lib"
CASES: Final = sorted((CHART / "ci").glob("*-values.yaml"))
RELEASE, NAMESPACE = "aws", "team"


class HelmError(Exception):
    """Helm failed; the text is what it wrote."""


class _Loader(yaml.CSafeLoader):
    """Rejects a duplicate key, as an API server does."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Json:
    keys = [loader.construct_object(key) for key, _ in node.value]
    if doubled := {key for key in keys if keys.count(key) > 1}:
        raise yaml.constructor.ConstructorError(None, None, f"duplicate keys: {doubled}", node.start_mark)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# A single equals sign, which Go reads as text.
_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def load(text: str) -> list[Json]:
    """Return the documents of a text that are not empty.

    Raises:
        yaml.YAMLError: no YAML, or a duplicate key.
    """
    return [one for one in yaml.load_all(text, _Loader) if one]


@functools.cache
def _program() -> Path:
    """Return Helm, fetched where it is not in the cache."""
    return build.cached(build.CACHE / f"helm-{HELM}", print, build._fetch_helm) / "helm"


def helm(*arguments: str | Path, values: Json | None = None) -> str:
    """Run Helm and return what it printed.

    Args:
        arguments: the command line.
        values: passed by --values.

    Raises:
        HelmError: it failed.
    """
    with tempfile.TemporaryDirectory() as home:
        # No file of the user is read or written, and no cluster is configured.
        environment = {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": f"{home}/none"}
        command = [_program(), *arguments, *([] if values is None else ["--values", "-"])]
        done = subprocess.run(
            command,
            input=json.dumps(values or {}, ensure_ascii=False),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        # Helm logs each symbolic link that it follows.
        lines = [line for line in (done.stderr + done.stdout).splitlines() if not line.startswith("level=INFO")]
        raise HelmError("\n".join(lines))
    return done.stdout


def render(
    values: Json | Path | None = None,
    *flags: str,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
) -> list[Json]:
    """Return the objects that a chart renders to.

    Args:
        values: the values, or a file with them.
        flags: more flags of `helm template`.
        chart: its directory.
        release: the release's name.
        namespace: the release's namespace.

    Raises:
        HelmError: it does not render.
    """
    return load(rendered_text(values, *flags, chart=chart, release=release, namespace=namespace))


def rendered_text(
    values: Json | Path | None, *flags: str, chart: Path, release: str = RELEASE, namespace: str = NAMESPACE
) -> str:
    """Return what a chart renders to, as text; arguments and errors are those of ``render``."""
    command: tuple[str | Path, ...] = ("template", release, chart, "--namespace", namespace, *flags)
    if isinstance(values, Path):
        return helm(*command, "--values", values)
    return helm(*command, values=values or {})
