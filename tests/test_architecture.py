"""Rules for all files: public names are listed in `__all__`, files are short, no text names this machine."""

import ast
import configparser
import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sidecar

ROOT = Path(__file__).parent.parent
FOUND = sorted(pkgutil.walk_packages(sidecar.__path__, "sidecar."), key=lambda found: found.name)
MODULES = [found.name for found in FOUND if not found.ispkg]
PACKAGES = [found.name for found in FOUND if found.ispkg]
# A module with only constants, which do not need a second list.
CONSTANTS = "sidecar.limits"


@pytest.mark.parametrize("name", [name for name in MODULES if name != CONSTANTS])
def test_all_lists_exactly_the_public_names_of_a_module(name: str) -> None:
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(module.__all__, key=_as_ruff_sorts)
    path = Path(str(module.__file__))
    defined = {
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    }
    assert defined <= set(module.__all__), "public, but not listed"
    assert all(hasattr(module, listed) for listed in module.__all__)


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _contracts() -> configparser.ConfigParser:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return contracts


def test_the_list_of_pure_modules_agrees_with_their_docstrings() -> None:
    listed = _contracts()["importlinter:contract:pure"]["source_modules"].split()
    assert listed == [name for name in MODULES if "Pure" in str(importlib.import_module(name).__doc__)]


def test_the_import_linter_rejects_a_file_in_no_layer_in_each_package(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sidecar", tmp_path / "sidecar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    packages = [sidecar.__name__, *PACKAGES]
    for name in packages:
        (tmp_path / name.replace(".", "/") / "stray.py").touch()
    ran = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert sorted(re.findall(r"- (sidecar[a-z0-9_.]*)\.stray$", ran.stdout, re.MULTILINE)) == sorted(packages)


# Constants of other specifications: file modes, versions of a format, HTTP statuses, the last second of the calendar.
FIXED = re.compile(r"_MODE|_VERSION|_LAST_SECOND|_TOO_MANY_REQUESTS|_SERVER_ERROR|_PR_\w+|_SIGKILL")


def _imported(name: str, seen: set[str]) -> set[str]:
    """Return the modules of the package that a module imports, itself included, found in their sources."""
    if name in seen or name not in MODULES:
        return seen
    seen.add(name)
    for node in ast.walk(ast.parse(_source(name).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for found in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                _imported(found, seen)
    return seen


def _source(name: str) -> Path:
    return ROOT / f"{name.replace('.', '/')}.py"


def _is_number(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Tuple):
        return all(map(_is_number, value.elts))
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    return isinstance(value, ast.Constant) and type(value.value) in {int, float}


def test_the_numbers_of_the_daemon_are_in_one_module() -> None:
    flow = _imported("sidecar.exchange.worker", _imported("sidecar.daemon", set()))
    assert {CONSTANTS, "sidecar.http1.parser", "sidecar.credentials.timing", "sidecar.exchange.messages"} < flow
    found = [
        f"{name}: {ast.unparse(node)}"
        for name in sorted(flow - {CONSTANTS})
        for node in ast.parse(_source(name).read_text()).body
        if isinstance(node, ast.Assign | ast.AnnAssign) and _is_number(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if not FIXED.fullmatch(ast.unparse(target))
    ]
    assert found == []


def _resolves(name: str) -> bool:
    """Return whether the package has this module, or a module with this name."""
    module, names = f"sidecar.{name}", list[str]()
    while module not in (*MODULES, *PACKAGES, "sidecar"):
        module, _, last = module.rpartition(".")
        names.insert(0, last)
    found: object = importlib.import_module(module)
    for part in names:
        found = getattr(found, part, None)
    return module != "sidecar" and found is not None


def test_each_name_of_code_in_the_page_on_architecture_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = {name for name in re.findall(r"`([a-z0-9_]+(?:\.[A-Za-z0-9_]+)+)`", text) if not name.endswith(".json")}
    assert {"tokens.watch.FileWatcher", "daemon.Daemon.token_seen"} < names
    assert [name for name in sorted(names) if not _resolves(name)] == []


def test_each_name_in_the_index_of_the_tests_exists() -> None:
    names = re.findall(r"^\| `([A-Za-z0-9_.]+)` \|", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE)
    assert len(names) > 12
    for name in names:
        whole = (name if name.startswith("examples.") else f"tests.{name}").replace(".", "/")
        module, _, defined = whole.rpartition("/")
        if not (ROOT / f"{whole}.py").exists():
            source = (ROOT / f"{module}.py").read_text()
            assert re.search(rf"^(class|def|async def) {defined}\b", source, re.MULTILINE), name


# Public names that several modules define, and why. Any other public name has one meaning in the whole package.
DEFINED_TWICE = {
    "CHECK": "each module of doctor.checks defines its check under this name, and doctor.table collects them",
    "TYPE_CHECKING": "a copy of typing.TYPE_CHECKING, where the import of typing would cost half of the start",
    "USAGE": "the usage text of a module that runs as a program of its own",
    "add_options": "each module of commands has it, and cli calls it",
    "main": "the entry point of a program",
    "run": "each module of commands has it, and cli calls it",
}


def _public_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
            if isinstance(target, ast.Name):
                yield target.id


def test_a_public_name_is_defined_in_one_module_or_has_a_listed_reason() -> None:
    where: dict[str, set[Path]] = {}
    for path in _tracked("sidecar/*.py"):
        for name in _public_names(path):
            if not name.startswith("_"):
                where.setdefault(name, set()).add(path.relative_to(ROOT))
    assert {name for name, paths in where.items() if len(paths) > 1} == set(DEFINED_TWICE)


def test_the_root_of_the_package_has_few_modules() -> None:
    assert len([name for name in MODULES if name.count(".") == 1]) <= 10


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_has_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__


ELSEWHERE = {
    "sidecar.__main__": "tests/faults/test_interrupts.py",
    "sidecar.application": "tests/unit/commands/test_env.py",
    "sidecar.bootstrap": "tests/functional/test_bootstrap_aws.py",
    "sidecar.check": "tests/functional/test_check.py",
    "sidecar.clock": "tests/faults/test_clock.py",
    "sidecar.cluster.probe": "tests/functional/test_bootstrap_cluster.py",
    "sidecar.commands.bootstrap_cluster": "tests/functional/test_bootstrap_cluster.py",
    "sidecar.commands.credential_process": "tests/functional/test_credential_process.py",
    "sidecar.commands.flags": "tests/unit/commands/test_doctor.py",
    "sidecar.commands.options": "tests/unit/test_cli.py",
    "sidecar.commands.run": "tests/unit/test_cli.py",
    "sidecar.credentials.interfaces": "tests/unit/credentials/test_refresher.py",
    "sidecar.credentials.states": "tests/unit/credentials/test_lifecycle.py",
    "sidecar.daemon": "tests/unit/test_daemon_health.py",
    "sidecar.doctor.aws": "tests/functional/test_doctor.py",
    "sidecar.doctor.checks": "tests/functional/test_doctor_checks.py",
    "sidecar.doctor.exchanged": "tests/functional/test_doctor.py",
    "sidecar.doctor.uri": "tests/functional/test_doctor_in_pod.py",
    "sidecar.doctor.result": "tests/unit/doctor/test_show.py",
    "sidecar.endpoint.health": "tests/unit/test_daemon_health.py",
    "sidecar.endpoint.taken_port": "tests/functional/test_taken_port.py",
    "sidecar.exchange.messages": "tests/unit/exchange/test_client.py",
    "sidecar.exits": "tests/faults/test_interrupts.py",
    "sidecar.http1.poller": "tests/unit/http1/test_transport.py",
    "sidecar.https.proxy": "tests/unit/issuer/test_reader_proxy.py",
    "sidecar.issuer.site": "tests/unit/commands/test_publish_issuer.py",
    "sidecar.iam.statements": "tests/unit/iam/test_trust.py",
    "sidecar.kernel": "tests/functional/test_isolation.py",
    "sidecar.limits": "tests/unit/test_sts_limits.py",
    "sidecar.settings.options": "tests/unit/settings/test_resolve.py",
    "sidecar.settings.read": "tests/unit/settings/test_profiles.py",
    "sidecar.volumes.atomic": "tests/unit/volumes/test_auth_token.py",
    "sidecar.volumes.profile_volumes": "tests/unit/test_daemon_health.py",
}
"""Modules, and packages whose modules have no unit test with their name, with the file that tests them."""


@pytest.mark.parametrize("name", MODULES)
def test_each_module_has_a_unit_test_in_the_same_place_or_a_file_in_elsewhere(name: str) -> None:
    *folders, module = name.split(".")[1:]
    own = list((ROOT / "tests/unit").joinpath(*folders).glob(f"test_{module}*.py"))
    named = [where for place, where in ELSEWHERE.items() if f"{name}.".startswith(f"{place}.")]
    assert own or named, "write a unit test, or add the file that tests the module to ELSEWHERE"
    assert all((ROOT / where).is_file() for where in named)


def test_no_module_with_a_unit_test_is_in_elsewhere() -> None:
    for name in ELSEWHERE:
        path = ROOT / "tests/unit" / "/".join(name.split(".")[1:])
        assert not path.with_name(f"test_{path.name}.py").exists()


# The calls that end a process, by module. Other modules return an exit code, or raise a SidecarError.
ENDS = {
    "sidecar.__main__": {"os._exit", "sys.exit"},  # the end of the process, and a signal before the daemon is built
    "sidecar.cli": {"SystemExit"},  # argparse raises it; it becomes an exit code here
    "sidecar.commands.run": {"os._exit"},  # a log without a reader would block the end of the interpreter
    "sidecar.exchange.worker": {"sys.exit"},  # runs as a separate process
    "sidecar.exits": {"os._exit"},  # a signal outside of a command, or a second one
    "sidecar.shim": {"os._exit", "sys.exit"},  # is copied as a single file, and imports no other module
}


def _ends(path: Path) -> set[str]:
    of_modules = re.compile(
        r"(sys\.exit|os\._exit|os\.abort|os\.kill|(\w*parser\w*)\.(exit|error)|argparse\.\w+\.exit)"
    )
    found = {name for name in _imports(path) if of_modules.fullmatch(name)}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and node.id in {"SystemExit", "exit", "quit"}:
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and of_modules.fullmatch(ast.unparse(node)):
            found.add(ast.unparse(node))
    return found


def test_only_these_modules_end_the_process() -> None:
    found = {name: _ends(ROOT / f"{name.replace('.', '/')}.py") for name in MODULES}
    assert {name: ends for name, ends in found.items() if ends} == ENDS


def test_only_one_module_writes_the_error_line_of_a_command() -> None:
    standing_alone = {"sidecar.check", "sidecar.exits", "sidecar.shim"}
    written = {
        name
        for name in set(MODULES) - standing_alone
        for node in ast.walk(ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text()))
        if isinstance(node, ast.Constant) and re.match(r"aws-oidc-sidecar: ", str(node.value))
    }
    assert written == set()


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_only_one_package_sends_http_requests_and_the_daemon_must_not_import_it() -> None:
    client = re.compile(r"(http\.client|urllib\.request|urllib3)(\..*)?")
    importers = {path.parent for path in _tracked("sidecar/*.py") if any(map(client.fullmatch, _imports(path)))}
    assert importers == {ROOT / "sidecar/https"}
    assert "sidecar.https" in _contracts()["importlinter:contract:tools"]["forbidden_modules"].split()


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_no_source_file_is_over_300_lines() -> None:
    assert [
        path for path in _tracked("sidecar/*.py", "examples/*.py") if len(path.read_text().splitlines()) > 300
    ] == []
