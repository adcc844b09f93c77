import runpy
from ssl import CERT_REQUIRED
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport import redis, virtual

from apps.jobs.redis import QoS


def away(*_: Any, **__: Any) -> None:
    raise ConnectionResetError("Redis is away.")


def test_a_worker_that_could_not_acknowledge_takes_messages_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis.QoS, "_remove_from_indices", away)
    qos = QoS(SimpleNamespace(do_restore=False), prefetch_count=1)
    virtual.QoS.append(qos, None, "tag")
    assert not qos.can_consume()

    with pytest.raises(ConnectionResetError):
        qos.ack("tag")
    assert qos.can_consume()


@pytest.mark.parametrize(
    ("scheme", "ssl"), [("redis", False), ("rediss", {"ssl_cert_reqs": CERT_REQUIRED})]
)
def test_a_redis_behind_tls_is_asked_for_a_certificate(
    settings: Any, scheme: str, ssl: object
) -> None:
    settings.BROKER_URL = f"{scheme}://broker/0"
    celery = runpy.run_module("config.broker")
    assert celery["broker_use_ssl"] == ssl
    assert celery["broker_transport"] == "apps.jobs.redis:Transport"
