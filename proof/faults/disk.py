"""A small disk that can be filled: a tmpfs, in a mount namespace of our own, so that nothing of it outlives us."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

from proof.faults import NotProved

INSIDE = "PROOF_FAULTS_MAY_MOUNT"
# Who is not root becomes able to mount in a user namespace, and stays who they are: PostgreSQL refuses to run as root.
UNSHARE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-current-user", "--keep-caps")))
CHUNK = 65_536  # bytes


def enter_namespace() -> None:
    """Run this program anew where it may mount, if that is possible; else go on as we are."""
    if INSIDE in os.environ or shutil.which("unshare") is None:
        return
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0:
        os.environ[INSIDE] = "yes"
        os.execvp(UNSHARE[0], [*UNSHARE, sys.executable, "-m", "proof.faults", *sys.argv[1:]])  # noqa: S606 (its own command)


class SmallDisk:
    """Until the program ends."""

    def __init__(self, folder: Path, size: int) -> None:
        """Of so many bytes. Raises NotProved."""
        if INSIDE not in os.environ:
            raise NotProved("mounting a small disk needs Linux, and root or user namespaces")
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir(parents=True)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()):
            raise NotProved(f"a small disk cannot be mounted ({os.strerror(ctypes.get_errno())})")

    def fill(self) -> None:
        """Leave no byte free."""
        with self._ballast.open("ab", buffering=0) as file:
            size = CHUNK
            while size:
                try:
                    file.write(bytes(size))
                except OSError:
                    size //= 2

    def make_space(self) -> None:
        self._ballast.unlink(missing_ok=True)
