"""Read by gunicorn by itself, also when it is not started through `just start`."""

{% if "metrics" in cookiecutter.observability %}
import os
import shutil
import tempfile

{% endif %}
from gunicorn.glogging import Logger

from apps.core import logs
{% if "metrics" in cookiecutter.observability %}
from config.settings import LOGGING, MIDDLEWARE, env
{% else %}
from config.settings import LOGGING, env
{% endif %}


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
{% if "metrics" in cookiecutter.observability %}

# Several workers keep their numbers in files, so that each can tell those of all.
OURS = f"metrics-of-{os.getpid()}-"
if workers > 1 and "apps.core.metrics.Metrics" in MIDDLEWARE:
    # Read once more when gunicorn reloads: then it is there already.
    if OURS not in os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=OURS)

    def child_exit(server, worker):
        from prometheus_client.multiprocess import mark_process_dead

        # What it counted stays; what it was doing is over.
        mark_process_dead(worker.pid)

    def on_exit(server):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
{% endif %}
