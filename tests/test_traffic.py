"""Many deliveries of one event at once, and bodies that are too large: to generated projects that are served."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proof import traffic
from proof.generate import with_copier
from proof.postgres import Server
from proof.processes import clean_environment, run
from proof.senders import Hmac, Stripe
from proof.traffic import Receiver

STRIPE, LENDER = Stripe("stripe"), Hmac("lender")
WEB_PROCESSES = 2
DATA = {"customer": "ann"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def receiver(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Receiver]:
    database: str = request.param
    folder = tmp_path_factory.mktemp(database)
    words = {"database": database, "auth": "none", "broker": "embedded"}
    project = with_copier(template, words | {"webhooks": "stripe,hmac", "example": False}, folder)
    run(["uv", "sync", "--quiet", "--no-dev"], project, clean_environment())
    traffic.allow_many_connections()
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'app.db'}"
        if database == "postgresql":
            databases = Server()
            stack.callback(databases.stop)
            url = stack.enter_context(databases.new_database())
        senders = [STRIPE, LENDER]
        yield stack.enter_context(traffic.receiving(project, senders, words, url, web_processes=WEB_PROCESSES))


@pytest.mark.parametrize("sender", [STRIPE, LENDER], ids=["stripe", "hmac"])
def test_a_thousand_deliveries_of_one_event_at_once_are_one_row_and_one_effect(
    receiver: Receiver, sender: Stripe | Hmac
) -> None:
    request = sender.request("again-and-again", "application.received", DATA)
    answers, figures = traffic.bring(receiver, [request] * traffic.MANY, connections=traffic.MANY)
    print(figures)
    assert Counter(answer.status for answer in answers) == {200: traffic.MANY}
    # None was answered before the last one was on its way.
    assert receiver.evidence.kept()[request.event] == 1
    assert receiver.evidence.effects()[request.event] == 1


@pytest.mark.parametrize("sender", [STRIPE, LENDER], ids=["stripe", "hmac"])
def test_a_body_of_ten_megabytes_is_refused_and_not_kept(receiver: Receiver, sender: Stripe | Hmac) -> None:
    large = sender.request("large", "application.received", DATA | {"text": "x" * traffic.LARGE})
    small = sender.request("small", "application.received", DATA)
    answers, _ = traffic.bring(receiver, [large, small], connections=1)
    assert [answer.status for answer in answers] == [413, 200]
    kept = receiver.evidence.kept()
    assert (kept[large.event], kept[small.event]) == (0, 1)
