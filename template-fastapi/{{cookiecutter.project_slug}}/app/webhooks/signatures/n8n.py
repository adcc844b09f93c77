"""n8n: its HTTP Request node sends a header, basic or JWT authentication, or an HMAC of the raw
body that a Crypto node made. Only the last one signs what is sent; the others say who sends it.
"""

import base64
from collections.abc import Sequence
from typing import Literal, Self

import jwt
from pydantic import Field, model_validator

from app.webhooks.signatures.scheme import (
    BadSignatureError,
    Delivery,
    Identity,
    Source,
    check_any,
    check_hmac,
    field_of,
    header,
    hmac_of,
    identity,
    json_body,
    json_of,
)

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384"]
LEEWAY = 30  # seconds that two clocks may differ


def basic_of(secret: str) -> str:
    return "Basic " + base64.b64encode(secret.encode()).decode()


def check_jwt(delivery: Delivery, secrets: Sequence[str], *, name: str, algorithm: str) -> None:
    """The algorithm is ours to choose, not the token's. Raises BadSignatureError."""
    token = header(delivery, name).removeprefix("Bearer ").strip()
    for secret in secrets:
        try:
            jwt.decode(token, secret, [algorithm], options={"verify_aud": False}, leeway=LEEWAY)
        except jwt.PyJWTError:
            continue
        return
    raise BadSignatureError("The token is not valid, or no longer.")


def fits(secret: str, algorithm: str) -> bool:
    try:
        jwt.get_algorithm_by_name(algorithm).prepare_key(secret)
    except (jwt.PyJWTError, TypeError, ValueError):
        return False
    return True


class N8nSource(Source):
    """Its secrets: for header its values, for basic user:password, for jwt passphrases (or public
    keys in PEM, for RS and ES), for hmac keys of the Crypto node."""

    type: Literal["n8n"]
    auth: Literal["header", "basic", "jwt", "hmac"] = "header"
    # By default Authorization for basic and jwt, else the names below.
    header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    jwt_algorithm: Algorithm = "HS256"
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    # Fields of the JSON body, such as data.id. What is no longer new once it came, so not the id of a
    # record that changes: without one it is a hash of the body.
    id_field: str = ""
    type_field: str = "type"

    @model_validator(mode="after")
    def have_keys(self) -> Self:
        if self.auth == "basic" and not all(":" in key for key in self.keys):
            raise ValueError('has a secret that is not user:password, as auth "basic" wants it')
        if self.auth == "jwt" and not all(fits(key, self.jwt_algorithm) for key in self.keys):
            symmetric = self.jwt_algorithm.startswith("HS")
            kind = "a passphrase" if symmetric else "the public key in PEM"
            raise ValueError(f"has a secret that is no key for {self.jwt_algorithm}: take {kind}")
        return self

    @property
    def header_name(self) -> str:
        names = {"header": "X-Webhook-Secret", "hmac": "X-Signature"}
        return self.header or names.get(self.auth, "Authorization")

    def verify(self, delivery: Delivery, *, at: float) -> Identity:
        name = self.header_name
        if self.auth == "jwt":
            check_jwt(delivery, self.keys, name=name, algorithm=self.jwt_algorithm)
        elif self.auth == "hmac":
            check_hmac(
                delivery,
                self.keys,
                name=name,
                algorithm=self.algorithm,
                encoding=self.encoding,
                prefix="",
            )
        else:
            good = [basic_of(key) if self.auth == "basic" else key for key in self.keys]
            given = header(delivery, name).encode("latin-1")
            check_any([given], [one.encode() for one in good])
        event = json_of(delivery.body)
        event_id, event_type = field_of(event, self.id_field), field_of(event, self.type_field)
        return identity(event_id, event_type, otherwise=delivery.body)

    def sample(self, event_type: str, event_id: str, *, url: str, at: float) -> Delivery:
        body = json_body(
            event_type or "sample", event_id, id_field=self.id_field, type_field=self.type_field
        )
        headers = {"content-type": "application/json", self.header_name: self._proof(body, at)}
        return Delivery(body, headers, url)

    def _proof(self, body: bytes, at: float) -> str:
        key = self.keys[0]
        if self.auth == "basic":
            return basic_of(key)
        if self.auth == "hmac":
            return hmac_of(key, body, algorithm=self.algorithm, encoding=self.encoding)
        if self.auth == "jwt":
            if not self.jwt_algorithm.startswith("HS"):
                raise ValueError("Only n8n has the private key: send the sample from there.")
            claims = {"iat": int(at), "exp": int(at) + 60}
            return "Bearer " + jwt.encode(claims, key, algorithm=self.jwt_algorithm)
        return key
