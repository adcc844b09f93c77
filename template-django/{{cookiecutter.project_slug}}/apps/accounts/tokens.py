from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.tokens import PasswordResetTokenGenerator

from apps.accounts.addresses import vouch_for_address


class ResetTokenGenerator(PasswordResetTokenGenerator):
    """Of links that set a new password: they end when an address of the account changes.

    allauth's own writes down the address of an account without any as one to be verified. For an
    account that was made inside, whoever asks for a link would then keep its owner out.
    """

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        vouch_for_address(user)
        addresses = EmailAddress.objects.filter(user_id=user.pk).order_by("email")
        of_account = "|".join(addresses.values_list("email", flat=True))
        return super()._make_hash_value(user, timestamp) + of_account
