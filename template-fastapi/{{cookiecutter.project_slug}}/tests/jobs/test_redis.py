from ssl import CERT_REQUIRED
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport import redis, virtual
from pydantic import SecretStr

from app.jobs.celery import celery_of
from app.jobs.redis import QoS, Transport
from app.settings import Settings


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


def test_celery_takes_our_transport_and_asks_for_a_certificate(quick: Settings) -> None:
    for url, verified in (("redis://broker/0", False), ("rediss://broker/0", True)):
        settings = quick.model_copy(update={"broker_url": SecretStr(url)})
        connection = celery_of(settings).connection()
        assert connection.get_transport_cls() is Transport
        expected = {"ssl_cert_reqs": CERT_REQUIRED} if verified else False
        assert connection.ssl == expected


def test_a_url_may_name_whom_to_trust(quick: Settings) -> None:
    url = SecretStr("rediss://broker/0?ssl_ca_certs=/own.pem")
    connection = celery_of(quick.model_copy(update={"broker_url": url})).connection()
    assert connection.ssl == {"ssl_ca_certs": "/own.pem"}
