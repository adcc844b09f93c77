"""Many deliveries of one event at once, and bodies that are too large: to generated projects that are served. And what
is looked for after a day of traffic is found when it is there.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from proof import traffic
from proof.generate import with_copier
from proof.postgres import Server
from proof.processes import clean_environment, run
from proof.senders import Answer, Evidence, Hmac, Stripe
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


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    evidence = Evidence(f"sqlite:///{tmp_path / 'app.db'}")
    evidence.create_effects()
    evidence.ask("CREATE TABLE webhook_events (source, event_id, state)")
    return evidence


def write(evidence: Evidence, statement: str) -> None:
    with closing(sqlite3.connect(evidence.url.removeprefix("sqlite:///"))) as connection:
        connection.execute(statement)
        connection.commit()


A, B = (LENDER.request(name, "application.received", DATA) for name in "AB")
FORGED = LENDER.request("F", "application.received", DATA, forged="another key")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("SELECT 1", ""),
        ("DELETE FROM effects WHERE event_id = 'A'", "1 events have no effect, or several"),
        ("INSERT INTO effects (source, event_id) VALUES ('lender', 'B')", "1 events have no effect, or several"),
        ("DELETE FROM webhook_events WHERE event_id = 'A'", "1 events have no row, or several"),
        ("INSERT INTO webhook_events VALUES ('lender', 'A', 'done')", "1 events have no row, or several"),
        ("INSERT INTO webhook_events VALUES ('lender', 'F', 'done')", "1 events are kept that nobody sent"),
        ("INSERT INTO effects (source, event_id) VALUES ('lender', 'F')", "1 effects are of events that nobody sent"),
        ("UPDATE webhook_events SET state = 'waiting' WHERE event_id = 'B'", "1 states are there beside done"),
        ("UPDATE effects SET id = 9 WHERE event_id = 'A'", "1 events were overtaken"),
    ],
)
def test_what_is_lost_doubled_forged_or_overtaken_is_noticed(evidence: Evidence, spoil: str, words: str) -> None:
    write(evidence, "INSERT INTO webhook_events VALUES ('lender', 'A', 'done'), ('lender', 'B', 'done')")
    write(evidence, "INSERT INTO effects (source, event_id) VALUES ('lender', 'A'), ('lender', 'B')")
    write(evidence, spoil)
    answers = [Answer(A, 200, 1, 2), Answer(FORGED, 401, 1, 2), Answer(B, 200, 3, 4)]
    wrong = traffic.what_is_wrong([A, FORGED, B], answers, evidence)
    assert [one.partition(":")[0] for one in wrong] == ([words] if words else [])


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([Answer(A, 200, 1, 2)], "1 requests, of so many, came to an end"),
        ([Answer(A, None, 1, 2), Answer(FORGED, 401, 1, 2)], "1 genuine requests were not acknowledged"),
        ([Answer(A, 200, 1, 2), Answer(FORGED, 200, 1, 2)], "1 forged requests were not refused"),
    ],
)
def test_an_answer_that_is_none_or_wrong_is_noticed(evidence: Evidence, answers: list[Answer], words: str) -> None:
    write(evidence, "INSERT INTO webhook_events VALUES ('lender', 'A', 'done')")
    write(evidence, "INSERT INTO effects (source, event_id) VALUES ('lender', 'A')")
    wrong = traffic.what_is_wrong([A, FORGED], answers, evidence)
    assert [one.partition(":")[0] for one in wrong] == [words]


def test_what_was_on_its_way_at_the_same_time_may_come_in_any_order() -> None:
    answers = [Answer(A, 200, 1, 3), Answer(B, 200, 2, 4)]
    assert not traffic.overtaken(answers, [A.event, B.event])
    assert not traffic.overtaken(answers, [B.event, A.event])
