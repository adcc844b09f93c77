import errno
import socket
import sys

from django.core.management.base import CommandError


def check_port(host: str, port: int, advice: str) -> None:
    """Raises CommandError when no server could listen there."""
    if not 0 <= port < 2**16:
        raise CommandError(f"A port is a number from 1 to 65535, not {port}.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except PermissionError:
            raise CommandError(f"Port {port} is not for this account: {advice}.") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CommandError(f"APP_HOST is no address of this machine: {host}.") from None
            raise CommandError(f"Port {port} is in use: end what uses it, or {advice}.") from None
