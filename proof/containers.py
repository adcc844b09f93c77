"""`make container`: images are built and started as compose.yml starts them, without a Docker engine: buildah builds,
and the processes run in a mount namespace of their own, where the image's file system cannot be written to.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from rich.console import Console
from rich.table import Table

from proof import brokers
from proof.generate import snapshot, with_cookiecutter
from proof.postgres import Server
from proof.processes import CommandFailed, clean_environment, free_port, run, server

VARIANTS: Sequence[Mapping[str, object]] = (
    {"stack": "fastapi", "database": "sqlite"},
    {"stack": "fastapi", "database": "postgresql", "webhooks": "stripe", "broker": "redis"},
    {"stack": "django", "database": "sqlite"},
    {"stack": "django", "database": "postgresql", "broker": "redis"},
)
# The base when no registry of images can be reached: Debian's own Python, from Debian's packages.
DEBIAN, DEBIANS_PYTHON = "bookworm", "3.11"
DEBIANS_PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Runs a command as the image's user in the image's file system, of which only /data and /tmp can be written to.
INSIDE = """
set -eu
umask 022
mount --bind "$ROOT" "$ROOT"
mount --options remount,bind,ro "$ROOT"
mount --types tmpfs --options mode=1777 tmpfs "$ROOT/tmp"
mount --bind "$DATA" "$ROOT/data"
if [ -n "$SOCKETS" ]; then
    # One by one: their folder is closed to other users.
    mkdir "$ROOT/tmp/sockets"
    for socket in "$SOCKETS"/.s.PGSQL.*[0-9]; do
        touch "$ROOT/tmp/sockets/${socket##*/}"
        mount --bind "$socket" "$ROOT/tmp/sockets/${socket##*/}"
    done
fi
mount --rbind /dev "$ROOT/dev"
mount --types proc proc "$ROOT/proc"
exec chroot --userspec="$USER_OF_IMAGE:$USER_OF_IMAGE" "$ROOT" env --ignore-environment --chdir="$FOLDER" "$@"
"""


def why_not() -> str | None:
    """What this machine lacks, or None."""
    missing = [name for name in ("buildah", "unshare", "chroot") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not here: apt install buildah"
    return None if os.geteuid() == 0 else "it needs root: sudo make container"


@dataclass
class Built:
    variant: str
    seconds: float
    seconds_with_lock: float
    megabytes: float
    above_base: float
    ready_after: float


class Builder:
    """Images of this proof alone, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = ("--root", str(folder / "images"), "--runroot", str(folder / "running"))

    def __call__(self, *arguments: str) -> str:
        command = ["buildah", *self.options, *arguments]
        return run(command, self.folder, dict(os.environ), time_limit=1200).strip()

    def build(self, project: Path, base: str, name: str) -> float:
        """Seconds it took."""
        started = time.monotonic()
        options = ("--isolation", "chroot", "--format", "docker", "--layers=false", "--build-arg")
        self("build", *options, f"PYTHON_IMAGE={base}", "--tag", name, str(project))
        return time.monotonic() - started

    def megabytes(self, name: str) -> float:
        """Of its layers, unpacked."""
        manifest = json.loads(json.loads(self("inspect", "--type", "image", name))["Manifest"])
        return float(sum(layer["size"] for layer in manifest["layers"])) / 1e6

    def base(self, console: Console) -> tuple[str, str]:
        """A base image and the version of its Python: the official one, or one made from Debian's packages."""
        official = "docker.io/library/python:3.13-slim"
        with contextlib.suppress(CommandFailed):
            self("pull", "--quiet", official)
            return official, "3.13"
        if shutil.which("debootstrap") is None:
            raise SystemExit(f"{official} cannot be pulled, and debootstrap is not here: apt install debootstrap")
        console.print(f"{official} cannot be pulled: making a base from Debian's packages ...")
        root = self.folder / "debian"
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(DEBIANS_PACKAGES)}", DEBIAN, str(root)]
        run(command, self.folder, dict(os.environ), time_limit=1200)
        (root / "usr/bin/python").symlink_to("python3")
        for refusal in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            refusal.unlink()
        if CERTIFICATES.exists():
            # Those that this machine trusts.
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        container = self("from", "scratch")
        self("add", "--quiet", container, str(root), "/")
        self("config", "--env", f"SSL_CERT_FILE={CERTIFICATES}", container)
        name = "localhost/python:debian"
        self("commit", "--quiet", container, name)
        return name, DEBIANS_PYTHON


class Image:
    """What an image says about itself, and its file system while it is mounted."""

    def __init__(self, builder: Builder, name: str, data: Path) -> None:
        container = builder("from", name)
        self.root = Path(builder("mount", container))
        settings = json.loads(builder("inspect", "--type", "image", name))["Docker"]["config"]
        self.user: str = settings["User"]
        self.folder: str = settings["WorkingDir"]
        self.environment: list[str] = settings["Env"]
        self.command: list[str] = settings["Cmd"]
        self.health: list[str] = settings["Healthcheck"]["Test"][1:]
        self.data = data
        self.sockets = ""
        data.mkdir(parents=True, exist_ok=True)
        os.chown(data, int(self.user), int(self.user))

    def inside(self, command: Sequence[str], settings: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """What to run, and its environment."""
        given = [*self.environment, *(f"{name}={value}" for name, value in settings.items())]
        outside = {
            "ROOT": str(self.root),
            "DATA": str(self.data),
            "SOCKETS": self.sockets,
            "FOLDER": self.folder,
            "USER_OF_IMAGE": self.user,
        }
        line = ["unshare", "--mount", "sh", "-c", INSIDE, "sh", *given, *command]
        return line, clean_environment() | outside

    def run(self, command: Sequence[str], settings: Mapping[str, str]) -> str:
        line, environment = self.inside(command, settings)
        return run(line, self.data, environment)


def settings_of(service: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service in compose.yml, as compose would fill it in."""

    def fill(found: "re.Match[str]") -> str:
        name, how, other = found.groups()
        if how == ":?" and name not in values:
            raise CommandFailed(f"compose.yml needs {name}: {other}", "")
        return values.get(name) or (other or "" if how == ":-" else "")

    pattern = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
    return {name: pattern.sub(fill, str(value)) for name, value in service["environment"].items()}


@contextlib.contextmanager
def services_for(answers: Mapping[str, object], databases: Server) -> Iterator[dict[str, str]]:
    """Servers in place of those that compose.yml would start, as settings."""
    with contextlib.ExitStack() as stack:
        settings = {}
        if answers["database"] == "postgresql":
            settings["APP_DATABASE_URL"] = stack.enter_context(databases.new_database())
        if broker := str(answers.get("broker", "")):
            settings["APP_BROKER_URL"] = stack.enter_context(brokers.own(broker)).url
        yield settings


def prove(answers: Mapping[str, object], template: Path, builder: Builder, base: str, databases: Server) -> Built:
    """Build without and with a lock, migrate, start every service, ask, look for what must not be there, stop."""
    name = "-".join(str(value) for value in answers.values())
    folder = builder.folder / name
    folder.mkdir()
    project = with_cookiecutter(template, answers, folder)
    (project / ".env").write_text("APP_SECRET_KEY=must-not-get-into-an-image\n", "utf-8")
    seconds = builder.build(project, base, name)
    run(["uv", "lock", "--quiet"], project, clean_environment(UV_PYTHON=sys.executable))
    seconds_with_lock = builder.build(project, base, name)

    image = Image(builder, name, folder / "data")
    leaked = [path for pattern in (".env*", "tests", "*.db", ".git") for path in (image.root / "app").glob(pattern)]
    assert not leaked, f"in the image: {leaked}"
    services = yaml.safe_load((project / "compose.yml").read_text("utf-8"))["services"]
    port = str(free_port())
    with services_for(answers, databases) as ours:
        # A server that listens on a socket is reached through one in there.
        if socket := parse_qs(urlsplit(ours.get("APP_DATABASE_URL", "")).query).get("host"):
            image.sockets = socket[0]
            ours["APP_DATABASE_URL"] = ours["APP_DATABASE_URL"].replace(socket[0], "/tmp/sockets")  # noqa: S108 - in there, a tmpfs of its own
        wanted = {"migrate", "web"} | ({"postgres"} if answers["database"] == "postgresql" else set())
        wanted |= {"worker", "beat", str(answers["broker"])} if "broker" in answers else set()
        wanted |= {"worker"} if answers.get("jobs") else set()
        assert services.keys() == wanted, f"compose.yml has {sorted(services)}"
        given = dict.fromkeys(("APP_SECRET_KEY", "POSTGRES_PASSWORD"), "a secret that only the proof uses")
        given["APP_HTTPS"] = "false"  # nothing in front speaks TLS

        def settings(service: str) -> dict[str, str]:
            return settings_of(services[service], given) | ours | {"APP_PORT": port}

        image.run(services["migrate"]["command"], settings("migrate"))
        refused = image.run(["sh", "-c", "id -u; touch /app/here /etc/here 2>&1 || true"], {})
        assert image.user in refused, refused
        assert refused.count("Read-only file system") == 2, refused

        with contextlib.ExitStack() as running:
            for service in services.keys() & {"worker", "beat"}:
                line, environment = image.inside(services[service]["command"], settings(service))
                running.enter_context(staying(line, folder, environment))
            line, environment = image.inside(image.command, settings("web"))
            started = time.monotonic()
            ready = f"http://127.0.0.1:{port}/health/ready"
            running.enter_context(server(line, folder, environment, ready))
            ready_after = time.monotonic() - started
            image.run([part.replace(":8000", f":{port}") for part in image.health], {})
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json"):
                pass
    size = builder.megabytes(name)
    return Built(name, seconds, seconds_with_lock, size, size - builder.megabytes(base), ready_after)


@contextlib.contextmanager
def staying(line: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A process that has to live until the block ends, and then to end when it is told."""
    process = subprocess.Popen(line, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield
        if process.poll() is not None:
            assert process.stderr is not None
            raise CommandFailed(f"{' '.join(line[-3:])}: it ended by itself", process.stderr.read().decode())
        process.terminate()
        process.wait(30)
    finally:
        process.kill()


def main() -> int:
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 120)
    if reason := why_not():
        console.print(f"[yellow]Skipped: no image was built, {reason}[/yellow]")
        return 0
    table = Table(title="Images, built and started")
    for column in ("variant", "build", "with a lock", "size", "above its base", "ready after"):
        table.add_column(column, justify="left" if column == "variant" else "right", no_wrap=True)
    databases = Server()
    with tempfile.TemporaryDirectory(prefix="containers-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        builder = Builder(folder)
        try:
            base, python = builder.base(console)
            template = snapshot(folder / "template")
            for answers in VARIANTS:
                built = prove({**answers, "python_version": python}, template, builder, base, databases)
                console.print(f"passed: {built.variant}")
                table.add_row(
                    built.variant,
                    f"{built.seconds:.0f} s",
                    f"{built.seconds_with_lock:.0f} s",
                    f"{built.megabytes:.0f} MB",
                    f"{built.above_base:.0f} MB",
                    f"{built.ready_after:.1f} s",
                )
        finally:
            databases.stop()
            with contextlib.suppress(CommandFailed):
                builder("umount", "--all")
                builder("rm", "--all")
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
