"""What people are told by e-mail. Links lead to pages of your front end, below APP_PUBLIC_URL.

The token stands behind a #, so that browsers send it to no server but the one that page asks.
"""

from dataclasses import dataclass

from app.mail import Mail


@dataclass(frozen=True)
class Letterhead:
    title: str
    site: str

    def write(self, to: str, subject: str, *lines: str) -> Mail:
        return Mail(
            to, f"[{self.title}] {subject}", "\n".join([*lines, "", self.title, self.site, ""])
        )

    def sign_up(self, to: str, token: str) -> Mail:
        return self.write(
            to,
            "Finish your sign-up",
            "Choose a password, and your account is ready:",
            f"{self.site}/finish-sign-up#token={token}",
            "",
            "The link works once, for one day. If you did not ask for it, do nothing.",
        )

    def has_account(self, to: str) -> Mail:
        return self.write(
            to,
            "You already have an account",
            "Somebody wanted to use this address for an account, and there is one already.",
            "If it was you: log in, or ask for a new password.",
            f"{self.site}/login",
        )

    def reset(self, to: str, token: str) -> Mail:
        return self.write(
            to,
            "Choose a new password",
            "Somebody, probably you, asked for a new password:",
            f"{self.site}/new-password#token={token}",
            "",
            "The link works once, for one hour. If you did not ask for it, do nothing.",
        )

    def password_changed(self, to: str) -> Mail:
        return self.write(
            to,
            "Your password was changed",
            "Your password was changed, and all other devices were logged out.",
            "If it was not you, ask for a new password at once:",
            f"{self.site}/login",
        )

    def new_address(self, to: str, token: str) -> Mail:
        return self.write(
            to,
            "Confirm your new address",
            "From now on your account is to have this address. Confirm it:",
            f"{self.site}/confirm-email#token={token}",
            "",
            "The link works once, for one hour. If you did not ask for it, do nothing.",
        )

    def address_will_change(self, to: str, new: str) -> Mail:
        return self.write(
            to,
            "Your address is about to change",
            f"Somebody who knows your password wants your account to have the address {new}.",
            "It counts as soon as it is confirmed there.",
            "If it was not you, change your password now: that ends it.",
            f"{self.site}/login",
        )
