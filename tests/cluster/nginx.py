# SPDX-License-Identifier: MIT
"""nginx with conf/nginx.conf as it is shipped, in front of instances on ports of this machine."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from harness import ROOT, Server, _libc, eventually, free_port, skip_loudly

PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
# Its own troubles; what a client or an instance did is a warning, an error at most.
REPORTS = re.compile(r"\[(?:alert|crit|emerg)\].*")


def require_nginx():
    if PROGRAM is None:
        skip_loudly("NGINX IS MISSING: nothing is tested behind it (apt-get install nginx)")


def _end_with_parent():
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG; its workers would outlive a SIGKILL


def upstream_of(ports):
    """conf/nginx-upstream.conf with these instances in place of those of compose.yaml."""
    text = (ROOT / "conf" / "nginx-upstream.conf").read_text()
    text, resolvers = re.subn(r"(?m)^resolver .*\n", "", text)
    text, servers = re.subn(
        r"(?m)^    server app:8080 resolve (.*)\n",
        lambda match: "".join(f"    server 127.0.0.1:{port} {match[1]}\n" for port in ports), text)
    assert resolvers == 1 and servers == 2, text
    return text


def lasting_port():
    """A port that is free, and that no client gets while nobody listens there: below those that
    the system gives to clients."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if first < 2000:  # there are hardly any
        return free_port()
    while True:
        port = random.randrange(max(1024, first - 12000), first)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class Nginx:
    def __init__(self, folder, ports):
        self.folder, self.port, self.process = Path(folder), lasting_port(), None
        shutil.copy(ROOT / "conf" / "nginx.conf", self.folder)
        listen = (ROOT / "conf" / "nginx-listen.conf").read_text()
        assert "listen 8080 " in listen
        (self.folder / "nginx-listen.conf").write_text(
            listen.replace("listen 8080 ", f"listen 127.0.0.1:{self.port} "))
        (self.folder / "nginx-upstream.conf").write_text(upstream_of(ports))

    def start(self):
        require_nginx()
        # Workers of root would become somebody who may not enter the folder.
        user = "user root; " if os.geteuid() == 0 else ""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "-e", "stderr", "-p", self.folder, "-c", self.folder / "nginx.conf", "-g",
                 f"daemon off; {user}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_end_with_parent)
        eventually(self.listens)
        return self

    def listens(self):
        assert self.process.poll() is None, f"it ended at its start:\n{self.log()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def complaints(self):
        """What it says of requests that no instance answered well, the last of them."""
        lines = [line for line in self.log().splitlines() if " instances " in line
                 or "[error]" in line and "refused" not in line]
        return "\n".join(lines[-20:])

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        status, self.process = self.process.wait(20), None
        reports = [m.group(0) for m in REPORTS.finditer(self.log())]
        assert status == 0 and not reports, (status, reports)


class Instance(Server):
    """One of several fleetbits on one Redis, on a port that it keeps when it is started again."""

    def __init__(self, folder, redis_url, *flags, **options):
        super().__init__(folder, *flags, redis_url=redis_url, **options)
        self.kept_port = lasting_port()

    def command(self):
        return [word.replace("127.0.0.1:0", f"127.0.0.1:{self.kept_port}", 1)
                if before == "--listen" else word
                for before, word in zip(["", *super().command()], super().command())]
