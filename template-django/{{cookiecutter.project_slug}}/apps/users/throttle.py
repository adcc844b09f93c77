"""Whoever guesses passwords is slowed down. The counts are rows of the database, written in
transactions of their own: they outlive the refused request and a restart, and all processes share
them."""

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.encoding import force_bytes

from apps.core.addresses import address_of, network_of
from apps.core.errors import DomainError
from apps.users.models import Attempts, User

LONGEST = 900  # seconds that anybody waits at once: nobody is locked out for ever
FORGET_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=30)
PURGE_AT_ONCE = 10


class TooManyAttemptsError(DomainError):
    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts to log in: try again in {seconds} s.")
        self.seconds = seconds
        self.headers = {"Retry-After": str(seconds)}


@dataclass(frozen=True)
class Limit:
    free: int  # attempts before the first wait
    first: int  # seconds; each further failure doubles them

    def wait(self, row: Attempts, moment: datetime) -> int:
        """Seconds that are left to wait."""
        if row.failures < self.free:
            return 0
        # The exponent is bounded: the wait is long before.
        seconds = min(LONGEST, self.first * 2 ** min(row.failures - self.free, 20))
        left = row.last_at + timedelta(seconds=seconds) - moment
        return max(0, -(-left // timedelta(seconds=1)))


# An account at an address, an account wherever from, an address whatever account.
LIMITS = (Limit(5, 2), Limit(20, 2), Limit(50, 2))


class PasswordBackend(ModelBackend):
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        account = username or credentials.get(User.USERNAME_FIELD)
        check = partial(super().authenticate, request, username, password, **credentials)
        user = when_it_is_time(request, account, password, check)
        return user if isinstance(user, User) else None


def when_it_is_time(
    request: HttpRequest | None,
    account: str | None,
    password: str | None,
    check: Callable[[], AbstractBaseUser | None],
) -> AbstractBaseUser | None:
    """What the check of the password says; raises TooManyAttemptsError, and then does not check."""
    if request is None or account is None or password is None:
        # Our own code asks, or for something else than a password.
        return check()
    address = address_of(request)
    count(account, address)
    user = check()
    if user is not None:
        forgive(account, address)
    return user


@transaction.atomic
def count(account: str, address: str) -> None:
    """Count an attempt before it is made: of many at once none slips through.

    Where an account has logged in before, what others do elsewhere does not count: an attacker
    cannot keep its owner out. Raises TooManyAttemptsError, and then counts nothing.
    """
    moment = timezone.now()
    rows = locked(account, address, moment)
    pair = rows[0]
    known = is_known(pair, moment)
    counted = [
        (limit, row) for limit, row in zip(LIMITS, rows, strict=True) if row is pair or not known
    ]
    if seconds := max(limit.wait(row, moment) for limit, row in counted):
        raise TooManyAttemptsError(seconds)
    for _, row in counted:
        row.failures += 1
        row.last_at = moment
        row.expires_at = max(row.expires_at, moment + FORGET_AFTER)
    write([row for _, row in counted])
    purge(moment)


@transaction.atomic
def forgive(account: str, address: str) -> None:
    """The attempt was right: take it back, and know the account here."""
    moment = timezone.now()
    pair, *others = locked(account, address, moment)
    for row in [] if is_known(pair, moment) else others:
        row.failures = max(0, row.failures - 1)
    pair.failures = 0
    pair.known_until = pair.expires_at = moment + KNOWN_FOR
    write([pair, *others])


def is_known(pair: Attempts, moment: datetime) -> bool:
    return pair.known_until is not None and pair.known_until > moment


def locked(account: str, address: str, moment: datetime) -> list[Attempts]:
    """The rows of the account at the address, of the account, and of the address."""
    account, network = account.strip().lower(), network_of(address)
    secret = force_bytes(settings.SECRET_KEY)
    keys = [
        hmac.new(secret, part.encode(), "sha256").hexdigest()
        for part in (f"both\n{account}\n{network}", f"account\n{account}", f"from\n{network}")
    ]
    new = {"last_at": moment, "expires_at": moment + FORGET_AFTER}
    # All in the same order: two that lock the same rows wait for each other, and no longer.
    Attempts.objects.bulk_create(
        [Attempts(key=key, **new) for key in sorted(keys)], ignore_conflicts=True
    )
    rows = {
        row.key: row
        for row in Attempts.objects.filter(key__in=keys).order_by("key").select_for_update()
    }
    for row in rows.values():
        if row.last_at + FORGET_AFTER < moment:
            row.failures = 0
    return [rows[key] for key in keys]


def write(rows: Collection[Attempts]) -> None:
    # The rows are there and locked: one cheap statement, where an update takes a CASE for each value.
    Attempts.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["failures", "last_at", "known_until", "expires_at"],
    )


def purge(moment: datetime) -> None:
    """Each attempt takes a few forgotten ones away, so the table stays small."""
    expired = Attempts.objects.filter(expires_at__lt=moment).select_for_update(skip_locked=True)
    if keys := list(expired.values_list("key", flat=True)[:PURGE_AT_ONCE]):
        Attempts.objects.filter(key__in=keys).delete()
