"""Read by gunicorn by itself, also when it is not started through `just start`."""

from gunicorn.glogging import Logger

from apps.core import logs
from config.settings import LOGGING, env


class Log(Logger):
    """Through structlog; one line for each request is written by apps.core.middleware."""

    def setup(self, cfg):
        logs.configure(LOGGING)
        self.error_log.setLevel(env.log_level.upper())
        self.access_log.disabled = True


logger_class = Log
bind = f"{env.host}:{env.port}"
control_socket_disable = True  # it would lie in the home folder
worker_class = "gthread"
workers = env.workers
threads = env.threads
timeout = env.request_timeout
keepalive = env.keep_alive
graceful_timeout = env.shutdown_timeout
# A proxy says where a request came from; only one that is trusted is believed.
forwarded_allow_ips = "*" if env.trusted_proxy else ""
