"""A real nginx in front of a server."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import PATIENCE_S, wait_until_now

# Where the program may lie; it is not on every user's PATH.
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
# Buffering is as nginx has it by itself; only the size of bodies is not.
CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}{tls};
    {server}
  }}
}}
"""


def self_signed(folder: Path) -> Path:
    """Key and certificate of `localhost`, signed by nobody else; the certificate alone ends in .crt."""
    file = folder / "own.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(file), "-out", str(file) + ".crt"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + Path(str(file) + ".crt").read_bytes())
    return file


@contextlib.contextmanager
def nginx(folder: Path, server: str, certificate: Path | None = None) -> Iterator[int]:
    """Its port. server: what stands in its block `server`."""
    program = shutil.which("nginx", path=PLACES)
    if program is None:
        pytest.skip("there is no nginx (Debian's package nginx-light) to stand in front")
    folder.mkdir(parents=True)
    user = "" if os.geteuid() else "user root;"  # nobody could not write into a folder of tests
    tls = ""
    if certificate is not None:
        tls = f" ssl;\n    ssl_certificate {certificate};\n    ssl_certificate_key {certificate}"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = int(listening.getsockname()[1])
        file = folder / "nginx.conf"
        file.write_text(CONFIGURATION.format(folder=folder, port=port, tls=tls, server=server, user=user))
        # It takes over sockets that are named here, as it does from an older one of its kind.
        environ = {**os.environ, "NGINX": f"{listening.fileno()};"}
        command = [program, "-e", f"{folder}/error.log", "-c", str(file)]
        process = subprocess.Popen(command, env=environ, pass_fds=[listening.fileno()], stderr=subprocess.DEVNULL)
    try:
        wait_until_now(lambda: (folder / "nginx.pid").exists() or process.poll() is not None)
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
