"""Redis as Celery's broker, with one correction."""

from typing import Any

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    """A message whose acknowledgement fails is no longer counted as being worked on. Else a worker
    that had as many of them as it may have when Redis went away would never ask for one again, nor
    notice that Redis is back. The row says that it is done."""

    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
