# SPDX-License-Identifier: MIT
"""Builds the images of the Dockerfile with buildah, or with docker where its engine runs, and says
where their contents are and what they are configured to do."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import ROOT, _die_with_parent, skip_loudly

HERE = Path(__file__).resolve().parent
CACHE = ROOT / "build" / "container"  # kept between runs: the base and the layers
LAYERS_MOST = 60  # of the cache; then it is begun anew


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.strip()


class Image:
    """What was built: `root` holds its files, the rest is what a container of it would do. Its
    size is that of all its layers, in MB, as the tool that built it counts."""

    def __init__(self, root, config, size):
        self.root, self.config, self.size = Path(root), config, size
        self.user = config["User"]
        self.environment = dict(entry.split("=", 1) for entry in config["Env"])
        self.command = (config.get("Entrypoint") or []) + (config.get("Cmd") or [])
        self.health = config["Healthcheck"]["Test"][1:]
        assert config["Healthcheck"]["Test"][0] == "CMD", config

    def entering(self, command, *options):
        """What runs a command in a container of it; see enter.py for the options."""
        return [sys.executable, str(HERE / "enter.py"), *map(str, options), str(self.root),
                json.dumps(self.environment), self.user, *command]

    def start(self, command, *options, output):
        with open(output, "ab") as log:
            return subprocess.Popen(self.entering(command, *options), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, preexec_fn=_die_with_parent)

    def run(self, command, *options):
        return subprocess.run(self.entering(command, *options), stdin=subprocess.DEVNULL,
                              timeout=60, capture_output=True, text=True, check=False)

    def files(self):
        """(path within the image, its status) of everything in it."""
        for folder, names, files in os.walk(self.root):
            for name in [*names, *files]:
                path = Path(folder, name)
                yield "/" + str(path.relative_to(self.root)), path.lstat()


class Buildah:
    """buildah with a storage of its own; no registry is asked, a base is made by base.sh."""

    def __init__(self):
        self.tool = ["buildah", "--root", CACHE / "storage", "--runroot", CACHE / "run",
                     "--storage-driver", "vfs"]
        self.containers = []
        run(*self.tool, "rm", "--all")  # those of a run that was broken off
        layers = CACHE / "storage" / "vfs" / "dir"
        if layers.exists() and len(list(layers.iterdir())) > LAYERS_MOST:
            run(*self.tool, "rmi", "--all", "--force")

    def _has(self, name):
        return subprocess.run([*self.tool, "inspect", "--type", "image", name], check=False,
                              capture_output=True).returncode == 0

    def _make_base(self):
        if self._has("debian:bookworm-slim"):
            return
        if shutil.which("debootstrap") is None:
            skip_loudly("DEBOOTSTRAP IS MISSING: no image is built (apt-get install debootstrap)")
        folder = CACHE / "base"
        shutil.rmtree(folder, ignore_errors=True)
        run(HERE / "base.sh", folder, timeout=600)
        made = run(*self.tool, "from", "scratch")
        run(*self.tool, "add", "--quiet", made, folder, "/")
        run(*self.tool, "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
            "/usr/bin:/sbin:/bin", made)
        run(*self.tool, "commit", "--quiet", "--rm", made, "debian:bookworm-slim")
        shutil.rmtree(folder)

    def build(self, target=None):
        CACHE.mkdir(parents=True, exist_ok=True)
        self._make_base()
        name = f"fleetbit-test-{target or 'whole'}"
        run(*self.tool, "build", "--pull-never", "--layers", "--format", "docker", "--isolation",
            "chroot", "--tag", name, *(["--target", target] if target else []), ROOT, timeout=900)
        container = run(*self.tool, "from", "--pull-never", name)
        self.containers.append(container)
        root = run(*self.tool, "mount", container)
        config = json.loads(run(*self.tool, "inspect", "--type", "image", name))["Docker"]["config"]
        (size,) = [image["size"] for image in json.loads(run(*self.tool, "images", "--json"))
                   if f"localhost/{name}:latest" in (image["names"] or [])]
        number, unit = size.split()
        assert unit == "MB"
        return Image(root, config, float(number))

    def close(self):
        for container in self.containers:
            run(*self.tool, "umount", container)
            run(*self.tool, "rm", container)


class Docker:
    def __init__(self):
        self.folders = []

    def build(self, target=None):
        name = f"fleetbit-test-{target or 'whole'}"
        run("docker", "build", "--tag", name, *(["--target", target] if target else []), ROOT,
            timeout=900)
        root = CACHE / f"root-{target or 'whole'}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self.folders.append(root)
        container = run("docker", "create", name)
        try:
            subprocess.run(f"docker export {container} | tar -x -C {root}", shell=True, check=True)
        finally:
            run("docker", "rm", "--volumes", container)
        found = json.loads(run("docker", "image", "inspect", name))[0]
        return Image(root, found["Config"], found["Size"] / 1e6)

    def close(self):
        for folder in self.folders:
            shutil.rmtree(folder)


def builder():
    """What there is to build an image with; a loud skip where there is nothing."""
    if os.geteuid() != 0:
        skip_loudly("NOT ROOT: the image is not built (its contents are run with chroot)")
    if shutil.which("buildah"):
        return Buildah()
    if shutil.which("docker") and subprocess.run(["docker", "version"], check=False,
                                                 capture_output=True).returncode == 0:
        return Docker()
    skip_loudly("NEITHER BUILDAH NOR DOCKER: the image is not built (apt-get install buildah "
                "debootstrap)")
