"""Signed tokens: who holds one may do what its kind says, until it expires."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import jwt

from app.db import now

ALGORITHM = "HS256"
LEEWAY = 10  # seconds: clocks of machines differ
CLAIMS = ["exp", "iat", "nbf", "sub", "jti", "typ"]
LONGEST = 2000  # characters: ours are shorter

Kind = Literal["access", "sign-up", "reset", "email"]


class BadTokenError(Exception):
    """Expired, forged, of another kind, or none of ours at all."""


class Tokens:
    def __init__(self, keys: Sequence[str]) -> None:
        """Signs with the first key, and accepts what any of them has signed."""
        if not keys or min(map(len, keys)) < 32:
            raise ValueError(
                "APP_SECRET_KEY is shorter than 32 characters: nothing is signed with it"
            )
        self._keys = keys

    def sign(self, kind: Kind, subject: str, lifetime: timedelta, **claims: str) -> str:
        moment = now()
        registered = {
            "typ": kind,
            "sub": subject,
            "jti": secrets.token_hex(16),
            "iat": moment,
            "nbf": moment,
            "exp": moment + lifetime,
        }
        return jwt.encode(claims | registered, self._keys[0], ALGORITHM)

    def read(self, kind: Kind, token: str) -> dict[str, Any]:
        """The claims of a token; raises BadTokenError."""
        if len(token) > LONGEST:
            raise BadTokenError
        for key in self._keys:
            try:
                claims = jwt.decode(
                    token, key, [ALGORITHM], options={"require": CLAIMS}, leeway=LEEWAY
                )
            except jwt.InvalidSignatureError:
                continue
            # Brackets in brackets in a forged header: the parser gives up.
            except (jwt.PyJWTError, RecursionError) as error:
                raise BadTokenError from error
            if claims["typ"] != kind:
                raise BadTokenError
            return claims
        raise BadTokenError


def new_secret() -> str:
    """What nobody guesses: its hash needs neither salt nor time."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
