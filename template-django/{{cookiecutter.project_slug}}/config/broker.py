"""Celery's settings. The ledger (apps/jobs) is the truth; a broker only brings workers the ids of
jobs soon. What it loses is sent again, and what it brings twice is done once.
"""

{% if cookiecutter.broker == "redis" %}
from ssl import CERT_REQUIRED

{% endif %}
from django.conf import settings

broker_url = settings.BROKER_URL
timezone = settings.TIME_ZONE
# What a task returns stands in the ledger.
task_ignore_result = True
result_expires = None
beat_scheduler = settings.CELERY_BEAT_SCHEDULER

broker_connection_timeout = 2
# Once: for a connection that ended since it was used last. What cannot be sent is sent later.
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
# Workers, on the other hand, wait for it as long as it takes.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

# A worker takes what it can run, and what it does not finish goes to others at once.
worker_prefetch_multiplier = 1
task_acks_late = True
# The work goes on when the broker is away: the ledger, not the message, says that it is done.
worker_cancel_long_running_tasks_on_connection_loss = False
worker_enable_remote_control = False
worker_consumer = "apps.jobs.consumer:Consumer"
worker_hijack_root_logger = False

# Embedded: workers take jobs from the ledger itself (apps/jobs/sweeper.py) and hand them to
# Celery within the process. Next to kombu's file transport there are no files to lock, to list
# and to clean up, nothing is lost in them, and it works on Windows without pywin32.
broker_transport_options: dict[str, object] = {"polling_interval": 0.02}
{% if cookiecutter.broker == "redis" %}
if broker_url.startswith("redis"):
    broker_transport = "apps.jobs.redis:Transport"
    # Unless it is told so, Celery takes any certificate.
    broker_use_ssl = {"ssl_cert_reqs": CERT_REQUIRED} if broker_url.startswith("rediss") else False
    broker_transport_options = {
        # A message comes back when it was not acknowledged for this long. That it comes back
        # while a long task still runs does no harm: whose lease is alive is left alone.
        "visibility_timeout": max(1, round(2 * settings.JOB_LEASE)),
        # Look for them each second; the defaults look every 100 s.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "max_retries": 0,
        "socket_connect_timeout": 2,
        "socket_timeout": 5,
        "socket_keepalive": True,
    }
{% elif cookiecutter.broker == "rabbitmq" %}
if broker_url.startswith("amqp"):
    # Replicated, and on disk before a publisher is told that it is kept. Celery finds out that it
    # is a quorum queue and sets the prefetch count for each consumer, as such queues want it.
    task_default_queue_type = "quorum"
    # Celery makes 28 queues for delays, which we do not use: jobs wait in the ledger. These are
    # the lighter ones.
    broker_native_delayed_delivery_queue_type = "classic"
    broker_transport_options = {"confirm_publish": True, "max_retries": 0}
{% endif %}
