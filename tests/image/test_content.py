"""The content of the image: the modules that imports need, no other files, and an owner for each file."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from image.archive import Archive, File, measure
from image.assemble import PACKAGES, matches
from sidecar import __version__
from tests.image.container import Engine

ROOT = Path(__file__).parent.parent.parent
MANIFEST = tomllib.loads((ROOT / "image/manifest.toml").read_text())
MODULES = ROOT / "image/modules.txt"
HEADER = "# Every module in the image outside the program, and the nearest one that imports it. A test checks it.\n"
ELF = b"\x7fELF"


@pytest.fixture(scope="module")
def files(archive: Archive) -> dict[str, File]:
    return {file.path: file for file in archive.files() if not file.info.isdir()}


@pytest.fixture
def walked(engine: Engine) -> dict[str, Any]:
    mounts = [(Path(__file__).parent / "walk.py", "/src/walk.py", "ro"), (ROOT / "image", "/src/image", "ro")]
    command = ["/usr/bin/python3", "-I", "-B", "/src/walk.py", json.dumps(MANIFEST)]
    done = engine.run(command, entrypoint=False, mounts=mounts)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_each_import_finds_a_module_that_can_be_imported(walked: dict[str, Any]) -> None:
    assert walked["unresolved"] == []
    assert walked["failed"] == {}


def test_each_module_is_imported_by_another(walked: dict[str, Any], files: dict[str, File]) -> None:
    present = {path for path in files if path.endswith((".py", ".so")) and "/python3" in path}
    # By the real path, because the files of a folder that is a link would count twice.
    assert present - set(walked["files"]) == set()


def test_each_left_out_module_is_imported_and_has_a_reason(walked: dict[str, Any]) -> None:
    assert set(MANIFEST["left_out"]) - set(walked["cut"]) == set()
    assert [name for group in MANIFEST.values() for name, reason in group.items() if not reason] == []


def test_the_modules_are_those_of_modules_txt(walked: dict[str, Any], tmp_path: Path) -> None:
    others = {name: by for name, by in walked["modules"].items() if name.partition(".")[0] != "sidecar"}
    text = HEADER + "".join(f"{name} {by or '(manifest.toml)'}\n" for name, by in sorted(others.items()))
    (tmp_path / "modules.txt").write_text(text)
    assert text == MODULES.read_text(), f"if the change is right: cp {tmp_path}/modules.txt {MODULES}"


def test_each_module_is_compiled(files: dict[str, File]) -> None:
    sources = {path for path in files if path.endswith(".py") and "/python3" in path}
    compiled = {path for path in files if path.endswith(".pyc")}
    assert {re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-313.pyc", path) for path in sources} == compiled
    # PEP 552: the flags 1 mean an unchecked hash.
    assert {files[path].content[4:8] for path in compiled} == {b"\x01\0\0\0"}


def test_each_library_is_needed_by_a_compiled_file(engine: Engine, files: dict[str, File]) -> None:
    compiled = [path for path, file in files.items() if file.content.startswith(ELF)]
    (loader,) = (path for path in compiled if "/ld-linux" in path)
    code = "import subprocess, sys\nfor path in sys.argv[2:]: subprocess.run([sys.argv[1], '--list', path], check=True)"
    modules = [path for path in compiled if "/python3" in path]
    # As root: the loader reads the files that it lists, and the sidecar's user cannot read the interpreter.
    done = engine.run(["/usr/bin/python3", "-I", "-c", code, loader, *modules], user=(0, 0), entrypoint=False)
    assert done.returncode == 0, done.stderr
    needed = {Path(word).name for word in done.stdout.split() if word.startswith("/")}
    by_name = {Path(path).name for path in MANIFEST["system"]}
    present = {Path(path).name for path in files if ".so." in path or path.endswith(".so.1")}
    links = {Path(files[path].info.linkname).name for path in files if files[path].info.issym()}
    assert present - needed - by_name - links == set()
    assert needed - present == set()


def test_each_other_file_is_in_the_manifest(archive: Archive, files: dict[str, File]) -> None:
    multiarch = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[archive.config["architecture"]]
    named = {path.replace("MULTIARCH", multiarch) for path in (*MANIFEST["system"], *MANIFEST["made_files"])}

    def accounted(path: str) -> bool:
        inside = Path(path).relative_to(PACKAGES) if path.startswith(f"{PACKAGES}/") else None
        return (
            path in named
            or files[path].info.issym()
            or path.endswith((".py", ".pyc"))
            or files[path].content.startswith(ELF)
            or fnmatchcase(path, "/var/lib/dpkg/status.d/*")
            or fnmatchcase(path, "/usr/share/doc/*/copyright")
            or (inside is not None and any(matches(inside, pattern) for pattern in MANIFEST["data"]))
            or (inside is not None and fnmatchcase(str(inside), "*.dist-info/RECORD"))
            or str(inside).startswith("aws_oidc_sidecar-")
        )

    assert [path for path in files if not accounted(path)] == []
    assert [path for path in MANIFEST["made_files"] if path not in files] == []


def test_the_targets_of_links_exist(files: dict[str, File], rootfs: Path) -> None:
    for path, file in files.items():
        if file.info.issym():
            target = Path(file.info.linkname)
            inside = rootfs / str(target)[1:] if target.is_absolute() else (rootfs / path[1:]).parent / target
            assert inside.exists(), path


def test_there_is_no_shell_pip_or_package_manager(files: dict[str, File]) -> None:
    programs = {path for path, file in files.items() if "/bin/" in path or "/sbin/" in path}
    assert programs == {"/usr/bin/aws-oidc-sidecar", "/usr/bin/python3", "/usr/bin/python3.13"}
    assert [path for path in files if re.search(r"/(pip|ensurepip|setuptools|apt|busybox)/|/dpkg$", path)] == []


def test_files_are_owned_by_root_not_writable_by_others_and_not_setuid(archive: Archive) -> None:
    for file in archive.files():
        assert (file.info.uid, file.info.gid) == (0, 0), file.path
        # The interpreter cannot be read by the sidecar's user: the kernel then lets no one else read its processes.
        modes = {0o711} if file.path == "/usr/bin/python3.13" else {0o644, 0o755}
        assert file.info.issym() or file.info.mode & 0o7777 in modes, file.path
        assert file.info.mtime == 0, file.path


def test_passwd_and_group_have_only_the_images_user(files: dict[str, File]) -> None:
    assert files["/etc/passwd"].content == b"aws-oidc-sidecar:x:19841:19841::/:/nonexistent\n"
    assert files["/etc/group"].content == b"aws-oidc-sidecar:x:19841:\n"


def test_the_shim_is_the_file_of_the_checkout(files: dict[str, File]) -> None:
    assert files["/opt/aws-oidc-sidecar/shim.py"].content == (ROOT / "sidecar/shim.py").read_bytes()


def test_user_entry_point_command_and_labels(archive_config: dict[str, Any]) -> None:
    assert archive_config["User"] == "19841:19841"
    assert archive_config["Entrypoint"] == ["/usr/bin/aws-oidc-sidecar"]
    assert archive_config["Cmd"] == ["run"]
    assert archive_config["Env"] == ["PATH=/usr/bin"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in archive_config["Labels"].items()}
    assert (labels["version"], labels["licenses"]) == (__version__, "Apache-2.0")
    assert f"ARG VERSION={__version__}\n" in (ROOT / "Dockerfile").read_text()


def test_no_file_names_the_package_mirror_of_the_build_machine(archive: Archive) -> None:
    uris = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], check=True, capture_output=True, text=True
    ).stdout.split()
    hosts = {re.sub(r"^\w+://([^/]+).*", r"\1", uri) for uri in uris}
    assert hosts, "apt of this machine has no mirror"
    texts = [json.dumps(archive.config), *(file.content.decode("latin-1") for file in archive.files())]
    assert [host for host in hosts if any(host in text for text in texts)] == []


def test_the_packed_image_is_at_most_20_mb(archive: Archive) -> None:
    assert sum(size.packed for size in archive.layer_sizes()) < 20e6
    assert measure(archive)
