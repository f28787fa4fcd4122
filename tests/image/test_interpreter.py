"""The parts of the system that Python needs: they are in the image, or Python works without them."""

import json
from pathlib import Path

import pytest

from tests.image.container import Engine

USERS = pytest.mark.parametrize("user", [(19841, 19841), (1_000_660_000, 0)], ids=["own", "assigned"])


def test_ssl_and_botocore_use_the_same_trust_store(engine: Engine) -> None:
    done = engine.python(
        "import ssl, botocore.httpsession as http\n"
        "plain = ssl.create_default_context()\n"
        "botocores = ssl.create_default_context(cafile=http.DEFAULT_CA_BUNDLE)\n"
        "found = [set(context.get_ca_certs(binary_form=True)) for context in (plain, botocores)]\n"
        "print(len(found[0]), found[0] == found[1])\n"
    )
    number, same = done.stdout.split()
    assert int(number) > 100
    assert same == "True"


def test_no_certificate_of_the_build_machine_is_trusted(rootfs: Path) -> None:
    bundle = (rootfs / "etc/ssl/certs/ca-certificates.crt").read_text()
    added = [path.read_text().strip() for path in Path("/usr/local/share/ca-certificates").rglob("*.crt")]
    assert not [text for text in added if text in bundle]


@USERS
def test_text_is_utf_8_without_a_locale(engine: Engine, user: tuple[int, int]) -> None:
    done = engine.python("import sys; print(sys.stdout.encoding, sys.getfilesystemencoding(), 'é')", user=user)
    assert (done.stdout, done.stderr) == ("utf-8 utf-8 é\n", "")


@USERS
def test_a_home_is_not_needed(engine: Engine, user: tuple[int, int]) -> None:
    done = engine.python("import os; print(os.path.expanduser('~/.aws/config'))", user=user)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_are_resolved_from_the_hosts_file_of_the_kubelet(engine: Engine, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.9 sts.test\n")
    code = "import socket; print(socket.getaddrinfo('sts.test', 443, type=socket.SOCK_STREAM)[0][4])"
    assert engine.python(code, mounts=[(hosts, "/etc/hosts", "ro")]).stdout == "('127.0.0.9', 443)\n"


def test_names_are_resolved_with_the_resolv_conf_of_the_kubelet(engine: Engine, tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("search default.svc.cluster.local svc.cluster.local\nnameserver 127.0.0.1\noptions ndots:5\n")
    done = engine.python(
        "import socket, threading\n"
        "server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "server.bind(('127.0.0.1', 53))\n"
        "def serve():\n"
        "    while True:\n"
        "        query, peer = server.recvfrom(512)\n"
        "        end = query.index(b'\\0', 12) + 5\n"
        "        found = query[12:end] == b'\\3sts\\4test\\0\\0\\1\\0\\1'\n"
        "        flags = b'\\x81\\x80' if found else b'\\x81\\x83'\n"
        "        answer = b'\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x7f\\0\\0\\x09' if found else b''\n"
        "        head = query[:2] + flags + b'\\0\\1\\0' + bytes([found]) + bytes(4)\n"
        "        server.sendto(head + query[12:end] + answer, peer)\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
        "print(socket.getaddrinfo('sts.test', 443, socket.AF_INET, socket.SOCK_STREAM)[0][4])\n",
        mounts=[(resolver, "/etc/resolv.conf", "ro")],
    )
    assert done.stdout == "('127.0.0.9', 443)\n", done.stderr


def test_an_unknown_name_raises_gaierror(engine: Engine) -> None:
    done = engine.python("import socket; socket.getaddrinfo('sts.eu-central-1.amazonaws.com', 443)")
    assert "socket.gaierror" in done.stderr


def test_a_thread_that_runs_at_the_end_of_main_ends_without_an_error(engine: Engine) -> None:
    # glibc ends such a thread with libgcc_s, which it opens by name; without libgcc_s the process aborts.
    code = (
        "import threading, time\n"
        "def spin():\n"
        "    while True: time.sleep(0.0001)\n"
        "for _ in range(20): threading.Thread(target=spin, daemon=True).start()\n"
        "time.sleep(0.2)\n"
    )
    for _ in range(5):
        done = engine.python(code)
        assert (done.returncode, done.stderr) == (0, "")


def test_modules_that_c_code_imports_by_name_exist(engine: Engine) -> None:
    done = engine.python(
        "import datetime, time, json\n"
        "datetime.datetime.strptime('2026-01-01', '%Y-%m-%d'); time.strptime('12', '%H')\n"
        "for name in ('utf-8', 'utf-16-le', 'utf-32-be'): json.loads('{\"a\": 1}'.encode(name))\n"
        "json.loads(b'\\xef\\xbb\\xbf{}'); 'sts.例え.test'.encode('idna'); 'a'.encode('raw_unicode_escape')\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_standard_library_is_read_from_compiled_files(engine: Engine) -> None:
    # -v prints the origin of each module; compiling a source would make each probe slower by milliseconds.
    command = ["/usr/bin/python3", "-I", "-v", "-m", "sidecar", "run", "--check-config"]
    done = engine.run(command, entrypoint=False, environment={"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x"})
    assert "# code object from '/usr/lib/python3.13/__pycache__/argparse.cpython-313.pyc'" in done.stderr
    assert "# code object from /" not in done.stderr
    assert "# wrote" not in done.stderr


def test_boto3_has_the_clients_of_iam_and_sts(engine: Engine) -> None:
    done = engine.python(
        "import boto3, json\n"
        "session = boto3.session.Session('a', 'b', region_name='eu-central-1')\n"
        "print(json.dumps([session.client(name).meta.endpoint_url for name in ('sts', 'iam')]))\n"
        "print(session.client('iam').can_paginate('list_roles'))\n"
    )
    urls, paginates = done.stdout.splitlines()
    assert json.loads(urls) == ["https://sts.eu-central-1.amazonaws.com", "https://iam.amazonaws.com"]
    assert paginates == "True"
