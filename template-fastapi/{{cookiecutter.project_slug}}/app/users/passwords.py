import asyncio
import secrets
import unicodedata

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

AT_ONCE = 2  # hashes in each process: each takes its memory, and a processor


class Passwords:
    """Hashes and verifies passwords with argon2id, in threads, so that nothing else waits."""

    def __init__(self, *, memory: int, passes: int) -> None:
        """`memory` is in KiB."""
        argon2 = Argon2Hasher(time_cost=passes, memory_cost=memory, parallelism=1)
        self._hasher = PasswordHash((argon2,))
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._of_nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        async with self._at_once:
            return await asyncio.to_thread(self._hasher.hash, normal(password))

    async def verify(self, password: str, hash_: str | None) -> tuple[bool, str | None]:
        """Whether it is the password, and a new hash when the old one was made with other
        parameters. Without an account (None) it takes as long, and is never right."""
        async with self._at_once:
            right, renewed = await asyncio.to_thread(
                self._hasher.verify_and_update, normal(password), hash_ or self._of_nobody
            )
        return right and hash_ is not None, renewed


def normal(password: str) -> str:
    """Keyboards write the same letter in different ways."""
    return unicodedata.normalize("NFKC", password)
