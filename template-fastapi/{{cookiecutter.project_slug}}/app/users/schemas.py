from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, SecretStr

LEAST = 12  # characters of a password


def normal(email: str) -> str:
    """One spelling for each address: small letters, and the domain as its owner reads it."""
    try:
        return validate_email(email, check_deliverability=False).normalized.lower()
    except EmailNotValidError:
        return email.lower()


Email = Annotated[EmailStr, Field(max_length=320), AfterValidator(normal)]
Password = Annotated[SecretStr, Field(max_length=200)]
NewPassword = Annotated[SecretStr, Field(min_length=LEAST, max_length=200)]
# PostgreSQL cannot store NUL.
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Token = Annotated[SecretStr, Field(min_length=1, max_length=2000)]


class Given(BaseModel):
    """What callers send: nothing but what is named here."""

    model_config = ConfigDict(extra="forbid")


class ForEmail(Given):
    email: Email


class ForNewPassword(Given):
    token: Token
    password: NewPassword


class ForToken(Given):
    token: Token


class ForRefreshToken(Given):
    refresh_token: Token


class LoginForm(BaseModel):
    """As OAuth2's password flow sends it; `username` is the e-mail address."""

    grant_type: Literal["password"] = "password"
    username: str = Field(max_length=320, pattern=r"^[^\x00]*$")
    password: Password


class TokenPair(BaseModel):
    access_token: str
    refresh_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - as OAuth2 names it
    expires_in: int = Field(description="seconds until the access token expires")


class Accepted(BaseModel):
    detail: str


class UserRead(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str
    name: str | None
    is_active: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime


class ProfileUpdate(Given):
    name: Name | None


class PasswordChange(Given):
    current_password: Password
    new_password: NewPassword


class EmailChange(Given):
    email: Email
    current_password: Password


class Confirmation(Given):
    current_password: Password


class UserUpdate(Given):
    is_active: bool


class UserPage(BaseModel):
    items: list[UserRead]
    next_cursor: str | None = Field(description="Pass it as cursor to get the next page")


class UserQuery(Given):
    email: Annotated[str, Field(max_length=320, pattern=r"^[^\x00]*$")] | None = None
    sort: Literal["created_at", "-created_at", "email", "-email"] = "-created_at"
    cursor: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")] | None = None
    limit: int = Field(default=50, ge=1, le=200)
