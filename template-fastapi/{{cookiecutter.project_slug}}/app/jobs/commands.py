"""The commands of jobs, for app.commands."""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

from app.db import now
from app.jobs import {{ "celery_worker, " if cookiecutter.broker != "embedded" else "" }}queue, service
from app.jobs.models import Job, State, Work
from app.jobs.signals import told_to_stop
from app.main import create_app
from app.settings import Settings
from app.terminal import moment, row_number, table, transaction, whole_number

MOST = 100_000


def add_commands(commands: Any, load_settings: Callable[[], Settings]) -> None:
    def worker(_: argparse.Namespace) -> None:
        settings = load_settings()
{% if cookiecutter.broker != "embedded" %}
        if settings.broker_url.get_secret_value():
            celery_worker.work(settings)
            return
{% endif %}
        # The loop of the web server, which is quicker where there is one for the system.
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(work(settings))

{% if cookiecutter.broker != "embedded" %}
    def beat(_: argparse.Namespace) -> None:
        asyncio.run(celery_worker.beat(load_settings()))

{% endif %}
    def list_all(options: argparse.Namespace) -> None:
        state = State(options.state) if options.state else None
        lines = list_jobs(load_settings(), state, options.name, options.limit)
        print("\n".join(asyncio.run(lines)))

    def show(options: argparse.Namespace) -> None:
        print(asyncio.run(show_job(load_settings(), options.id)))

    def retry(options: argparse.Namespace) -> None:
        print(asyncio.run(retry_jobs(load_settings(), options.ids)))

    def cancel(options: argparse.Namespace) -> None:
        print(asyncio.run(cancel_jobs(load_settings(), options.ids)))

    def purge(options: argparse.Namespace) -> None:
        print(asyncio.run(purge_rows(load_settings(), Job, options.days, dead=options.dead)))

    add = commands.add_parser("worker", help="run jobs until SIGTERM or Ctrl-C")
    add.set_defaults(run=worker)

{% if cookiecutter.broker != "embedded" %}
    add = commands.add_parser("beat", help="keep the schedule, and send what the broker lost")
    add.set_defaults(run=beat)

{% endif %}
    add = commands.add_parser("job-list", help="list jobs, the newest first")
    add.add_argument("--state", choices=[state.value for state in State])
    add.add_argument("--name", help="such as reports.send")
    add.add_argument("--limit", type=whole_number(1, MOST), default=50)
    add.set_defaults(run=list_all)

    add = commands.add_parser("job-show", help="show all of a job")
    add.add_argument("id", type=row_number)
    add.set_defaults(run=show)

    add = commands.add_parser("job-retry", help="run finished (or dead) jobs once more")
    add.add_argument("ids", type=row_number, nargs="+", metavar="id")
    add.set_defaults(run=retry)

    add = commands.add_parser("job-cancel", help="cancel jobs that wait or run")
    add.add_argument("ids", type=row_number, nargs="+", metavar="id")
    add.set_defaults(run=cancel)

    add = commands.add_parser("job-purge", help="delete what was finished some days ago")
    add.add_argument("--days", type=whole_number(1, MOST), default=30)
    add.add_argument("--dead", action="store_true", help="also those that failed for good")
    add.set_defaults(run=purge)


async def work(settings: Settings) -> None:
    """The application without its server, until it is told to stop."""
    told = told_to_stop()
    app = create_app(settings.model_copy(update={"embedded_worker": True}))
    async with app.router.lifespan_context(app):
        print(f"Running jobs, {settings.worker_concurrency} at once.", flush=True)
        await told.wait()


async def list_jobs(
    settings: Settings, state: State | None, name: str | None, limit: int
) -> list[str]:
    """A line for each job, below a heading."""
    async with transaction(settings) as session:
        jobs = await service.list_jobs(session, state=state, name=name, limit=limit)
    heading = ("id", "state", "attempts", "due", "name", "error")
    return table([heading, *(line_of(job) for job in jobs)])


def line_of(job: Job) -> tuple[str, ...]:
    due = moment(job.due_at)
    return str(job.id), job.state, str(job.attempts), due, job.name, job.last_error or ""


async def show_job(settings: Settings, job_id: int) -> str:
    async with transaction(settings) as session:
        job = await service.get_job(session, job_id=job_id)
    values = {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "arguments": json.dumps(job.arguments, ensure_ascii=False),
        "attempts": f"{job.attempts} of {job.max_attempts}",
        "due": moment(job.due_at),
        "created": moment(job.created_at),
        "finished": moment(job.finished_at),
        "unique key": job.unique_key,
        "order key": job.order_key,
        "error": job.last_error,
    }
    return "\n".join(f"{name:<12}{value}" for name, value in values.items() if value)


async def retry_jobs(settings: Settings, ids: Iterable[int]) -> str:
    async with transaction(settings) as session:
        done = await service.retry(session, ids=ids)
    return report(
        ids, done, "run once more", "are not finished, or another one has their unique key"
    )


async def cancel_jobs(settings: Settings, ids: Iterable[int]) -> str:
    async with transaction(settings) as session:
        done = await service.cancel(session, ids=ids)
    return report(ids, done, "are cancelled", "do not wait or run")


def report(
    ids: Iterable[int], done: Iterable[int], what: str, why_not: str, *, rows: str = "Jobs"
) -> str:
    """Raises SystemExit when nothing was done."""
    changed = ", ".join(map(str, done))
    left = ", ".join(str(one) for one in ids if one not in set(done))
    sentences = [f"{rows} {changed} {what}."] if changed else []
    sentences += [f"{rows} {left} {why_not}, or there are none."] if left else []
    if not changed:
        raise SystemExit(" ".join(sentences))
    return " ".join(sentences)


async def purge_rows(
    settings: Settings, model: type[Work], days: int, *, dead: bool, rows: str = "jobs"
) -> str:
    before = now() - timedelta(days=days)
    gone = 0
    while True:
        async with transaction(settings) as session:
            deleted = await queue.purge(session, model, before=before, dead=dead)
        gone += deleted
        if deleted < queue.PURGE_AT_ONCE:
            return f"Deleted {gone} {rows} that were finished {days} days ago or earlier."
