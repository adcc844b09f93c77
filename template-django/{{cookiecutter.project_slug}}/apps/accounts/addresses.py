"""E-mail addresses of accounts that nobody signed up for."""

from allauth.account.models import EmailAddress

from apps.users.models import User


def vouch_for_address(user: User) -> bool:
    """Take the address of an account that was made by someone inside as verified.

    Signing up always leaves an EmailAddress, asking for a new password none. An account without any
    was made in the admin, by a command, or before the project had sign-up. Return False when there
    was nothing to do.
    """
    email = user.email.lower()
    if not email or EmailAddress.objects.filter(user_id=user.pk).exists():
        return False
    if EmailAddress.objects.filter(email=email, verified=True).exists():
        return False
    EmailAddress.objects.create(user_id=user.pk, email=email, primary=True, verified=True)
    return True


def replace_addresses(user: User) -> bool:
    """Drop the addresses of an account whose e-mail an administrator changed, the old mailbox
    must not open it any more. Return False when they still fit."""
    addresses = EmailAddress.objects.filter(user=user)
    if not addresses.exists() or addresses.filter(email=user.email.lower()).exists():
        return False
    addresses.delete()
    vouch_for_address(user)
    return True
