from contextlib import suppress
from typing import Any

from django.conf import settings
from jwt import InvalidTokenError, PyJWS
from rest_framework_simplejwt import state
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.settings import api_settings


class RotatingBackend(TokenBackend):
    """Signs with SECRET_KEY, and accepts what one of SECRET_KEY_FALLBACKS has signed."""

    def get_verifying_key(self, token: Any) -> Any:
        for key in settings.SECRET_KEY_FALLBACKS:
            with suppress(InvalidTokenError):
                PyJWS().decode(token, key, algorithms=[self.algorithm])
                return key
        return super().get_verifying_key(token)


def install() -> None:
    """Where the package looks for the backend each time; it has no setting for it."""
    state.token_backend = RotatingBackend(api_settings.ALGORITHM, api_settings.SIGNING_KEY)
