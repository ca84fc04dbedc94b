"""One server: a systemd unit for this machine's modelport, with nginx and TLS in front."""

from __future__ import annotations

import os
import re
import sysconfig
from dataclasses import replace
from pathlib import Path

import click

from modelport.commands.exporting import writing
from modelport.commands.exporting.workload import DEFAULTS, PORT, SECRETS_FILE, Export, Workload, mebibytes

ABOUT = "a systemd unit for this machine, with nginx and TLS in front"
OPTIONS = (
    click.Option(["--host"], metavar="NAME", help="systemd: the server's host name.  [default: models.example.org]"),
)
HOST = "models.example.org"

UNIT = """\
[Unit]
Description=modelport: {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
# Behind a proxy modelport listens on 127.0.0.1, where it would start without a token.
ExecStartPre=/bin/sh -c 'test -n "$${{BEARER_TOKEN}}" || {{ echo "BEARER_TOKEN is empty: see {secrets}"; exit 1; }}'
ExecStart={command}
{environment}
EnvironmentFile={secrets}
DynamicUser=yes
StateDirectory=modelport/{name}
WorkingDirectory=%S/modelport/{name}
Restart=on-failure
# SIGTERM lets predictions end; then nothing of the service is left.
KillMode=mixed
TimeoutStopSec={ending_s}
CPUQuota={cpu}%
MemoryMax={memory}M
LimitNOFILE=65536

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices={private_devices}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictSUIDSGID=yes
LockPersonality=yes
UMask=0077

[Install]
WantedBy=multi-user.target
"""

NGINX = """\
server {{
    listen 80;
    listen [::]:80;
    server_name {host};
    return 301 https://$host$request_uri;
}}

server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {host};
    ssl_certificate /etc/letsencrypt/live/{host}/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/{host}/privkey.pem;
    ssl_protocols TLSv1.2 TLSv1.3;

    location / {{
        proxy_pass http://127.0.0.1:{port};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        # modelport limits bodies itself, writes them to the disk once, and streams answers.
        client_max_body_size 0;
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout {timeout_s}s;
        proxy_send_timeout {timeout_s}s;
    }}
}}
"""


def export(workload: Workload, host: str | None = None) -> Export:
    host, name = host or HOST, workload.name
    steps = (
        f"sudo install -D --mode 600 {SECRETS_FILE} {_secrets(workload)}",
        f"sudo install --mode 644 {name}.service /etc/systemd/system/",
        f"sudo systemctl daemon-reload && sudo systemctl enable --now {name}",
        f"sudo certbot certonly --nginx --domain {host}",
        f"sudo install --mode 644 nginx.conf /etc/nginx/conf.d/{name}.conf",
        "sudo nginx -t && sudo systemctl reload nginx",
    )
    # Longer than the server's own limit, so that callers get its answer and not nginx's.
    nginx = NGINX.format(host=host, port=PORT, timeout_s=int(workload.timeout_s or 24 * 3600) + workload.ending_s)
    here = replace(workload, path="")  # there is no image: the module is served where it lies
    files = {f"{name}.service": _unit(workload, host), "nginx.conf": writing.header(here) + nginx}
    return writing.export(here, files, "It runs the modelport that wrote it.", steps=steps)


def _secrets(workload: Workload) -> str:
    return f"/etc/modelport/{workload.name}.env"


def _unit(workload: Workload, host: str) -> str:
    program = os.fspath(Path(sysconfig.get_path("scripts"), "modelport"))
    served = f"{workload.name}={workload.path}" if workload.path else workload.serve[-1]
    state = f"%S/modelport/{workload.name}"
    variables = {
        **{name: _escaped(value) for name, value in workload.environment.items()},
        "MODELPORT_LISTEN_IP": DEFAULTS.listen_ip,
        "MODELPORT_TRUSTED_PROXIES": "127.0.0.1",
        "MODELPORT_HOSTS": host,
        **({"MODELPORT_PYTHON": _escaped(workload.python)} if workload.python else {}),
        "MODELPORT_HOME": state,
        "XDG_CACHE_HOME": f"{state}/cache",
    }
    return UNIT.format(
        name=workload.name,
        secrets=_secrets(workload),
        # There, too, a dollar begins a variable; in Environment= it does not.
        command=" ".join(_word(_escaped(word).replace("$", "$$")) for word in (program, "serve", served)),
        environment="\n".join(f"Environment={_word(f'{name}={value}')}" for name, value in variables.items()),
        ending_s=workload.ending_s,
        cpu=round(100 * workload.all_cpus),
        memory=mebibytes(workload.all_memory_bytes),
        private_devices="no" if workload.gpu else "yes",
    )


def _escaped(text: str) -> str:
    """What systemd would replace, it leaves."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "%": "%%"}
    return "".join(escapes.get(character, character) for character in text)


def _word(text: str) -> str:
    return text if re.fullmatch(r"[\w%=/.:@+,-]+", text, re.ASCII) else f'"{text}"'
