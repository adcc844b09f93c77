from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Response

from app.db import Reader, Session
from app.users import logins, service
from app.users.access import AccountsOfApp, Address, CurrentUser, Superuser
from app.users.schemas import (
    Accepted,
    Confirmation,
    EmailChange,
    ForEmail,
    ForNewPassword,
    ForRefreshToken,
    ForToken,
    LoginForm,
    PasswordChange,
    ProfileUpdate,
    TokenPair,
    UserPage,
    UserQuery,
    UserRead,
    UserUpdate,
)

MAILED = Accepted(detail="If this address may have it, an e-mail is on its way.")


async def keep_nowhere(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


auth = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(keep_nowhere)])
users = APIRouter(prefix="/users", tags=["users"], dependencies=[Depends(keep_nowhere)])


@auth.post("/login")
async def login(
    form: Annotated[LoginForm, Form()], accounts: AccountsOfApp, address: Address
) -> TokenPair:
    """OAuth2's password flow: `username` is the e-mail address."""
    password = form.password.get_secret_value()
    return await logins.log_in(accounts, email=form.username, password=password, address=address)


@auth.post("/refresh")
async def refresh(given: ForRefreshToken, accounts: AccountsOfApp) -> TokenPair:
    """Each refresh token works once: keep the new one. A used one ends the login."""
    return await logins.refresh(accounts, token=given.refresh_token.get_secret_value())


@auth.post("/logout", status_code=204)
async def logout(given: ForRefreshToken, accounts: AccountsOfApp) -> None:
    await logins.log_out(accounts, token=given.refresh_token.get_secret_value())


@auth.post("/logout-everywhere", status_code=204)
async def logout_everywhere(user: CurrentUser, accounts: AccountsOfApp) -> None:
    await logins.log_out_everywhere(accounts, user_id=user.id)


@auth.post("/sign-up", status_code=202)
async def sign_up(given: ForEmail, accounts: AccountsOfApp, address: Address) -> Accepted:
    """Sends a link to choose a password with, which makes the account."""
    await service.sign_up(accounts, email=given.email, address=address)
    return MAILED


@auth.post("/sign-up/finish", status_code=201)
async def finish_sign_up(given: ForNewPassword, accounts: AccountsOfApp) -> UserRead:
    token, password = given.token.get_secret_value(), given.password.get_secret_value()
    user = await service.finish_sign_up(accounts, token=token, password=password)
    return UserRead.model_validate(user)


@auth.post("/reset", status_code=202)
async def ask_for_reset(given: ForEmail, accounts: AccountsOfApp, address: Address) -> Accepted:
    """Sends a link to choose a new password with."""
    await service.ask_for_reset(accounts, email=given.email, address=address)
    return MAILED


@auth.post("/reset/finish", status_code=204)
async def reset(given: ForNewPassword, accounts: AccountsOfApp, address: Address) -> None:
    """Logs out everywhere."""
    token, password = given.token.get_secret_value(), given.password.get_secret_value()
    await service.reset_password(accounts, token=token, password=password, address=address)


@auth.post("/email/finish", status_code=204)
async def change_email(given: ForToken, accounts: AccountsOfApp) -> None:
    await service.change_email(accounts, token=given.token.get_secret_value())


@users.get("/me")
async def read_me(user: CurrentUser, session: Reader) -> UserRead:
    return UserRead.model_validate(await service.get_user(session, user_id=user.id))


@users.patch("/me")
async def update_me(changes: ProfileUpdate, user: CurrentUser, session: Session) -> UserRead:
    return UserRead.model_validate(
        await service.update_profile(session, user_id=user.id, changes=changes)
    )


@users.post("/me/password", status_code=204)
async def change_password(
    given: PasswordChange, user: CurrentUser, accounts: AccountsOfApp, address: Address
) -> None:
    """Logs the other devices out."""
    current, new = given.current_password.get_secret_value(), given.new_password.get_secret_value()
    await service.change_password(accounts, user, current=current, new=new, address=address)


@users.post("/me/email", status_code=202)
async def ask_for_email_change(
    given: EmailChange, user: CurrentUser, accounts: AccountsOfApp, address: Address
) -> Accepted:
    """Sends a link to the new address: it counts when that is confirmed."""
    password = given.current_password.get_secret_value()
    await service.ask_for_email_change(
        accounts, user, email=given.email, password=password, address=address
    )
    return MAILED


@users.post("/me/deactivate", status_code=204)
async def deactivate(
    given: Confirmation, user: CurrentUser, accounts: AccountsOfApp, address: Address
) -> None:
    password = given.current_password.get_secret_value()
    await service.deactivate(accounts, user, password=password, address=address)


@users.get("", name="list")
async def list_page(
    query: Annotated[UserQuery, Query()], _: Superuser, session: Reader
) -> UserPage:
    found, next_cursor = await service.list_users(session, query=query)
    return UserPage.model_validate({"items": found, "next_cursor": next_cursor})


@users.post("", status_code=202)
async def invite(given: ForEmail, _: Superuser, accounts: AccountsOfApp) -> Accepted:
    """Sends a link to choose a password with, also when sign-up is closed."""
    service.invite(accounts, email=given.email)
    return MAILED


@users.get("/{user_id}")
async def read(user_id: UUID, _: Superuser, session: Reader) -> UserRead:
    return UserRead.model_validate(await service.get_user(session, user_id=user_id))


@users.patch("/{user_id}")
async def update(user_id: UUID, changes: UserUpdate, _: Superuser, session: Session) -> UserRead:
    """Deactivate an account, or bring it back."""
    return UserRead.model_validate(
        await service.update_user(session, user_id=user_id, changes=changes)
    )
