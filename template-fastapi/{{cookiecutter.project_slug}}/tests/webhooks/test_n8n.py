import base64
import hashlib
import hmac
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.named_settings import MistakesError
from app.webhooks.signatures.n8n import N8nSource
from app.webhooks.signatures.scheme import BadSignatureError, Delivery, Identity
from app.webhooks.sources import sources_of
from tests.webhooks.sending import SECRET

BODY = b'{"id": "42", "type": "lead.created"}'
HASH = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
HOUR = 3600
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PEM = pem_of(RSA)


def source(auth: str, **fields: Any) -> N8nSource:
    return N8nSource.model_validate({"type": "n8n", "auth": auth, "secrets": [SECRET]} | fields)


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def token(claims: dict[str, Any], *, key: str = SECRET, algorithm: str | None = "HS256") -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm=algorithm)


def check(one: N8nSource, headers: dict[str, str], body: bytes = BODY) -> Identity:
    return one.verify(Delivery(body, headers), at=time())


def later(seconds: int) -> int:
    return int(time()) + seconds


def test_each_way_that_n8n_authenticates_is_known() -> None:
    crypto = hmac.new(SECRET.encode(), BODY, hashlib.sha256)
    in_base64 = base64.b64encode(crypto.digest()).decode()
    for one, headers in (
        (source("header"), {"x-webhook-secret": SECRET}),
        (source("header", header="X-Mine"), {"x-mine": SECRET}),
        (source("basic", secrets=["n8n:pä:ss"]), {"authorization": basic("n8n:pä:ss")}),
        (source("jwt"), {"authorization": token({"exp": later(60)})}),
        (source("jwt", header="X-Token"), {"x-token": token({})}),
        (source("hmac"), {"x-signature": crypto.hexdigest()}),
        (source("hmac", header="X-Mine", encoding="base64"), {"x-mine": in_base64}),
    ):
        assert check(one, headers) == Identity(HASH, "lead.created")


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", EC)])
def test_a_token_of_a_private_key_is_known_by_its_public_one(
    algorithm: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    one = source("jwt", secrets=[pem_of(key)], jwt_algorithm=algorithm)
    signed = jwt.encode({"exp": later(60)}, key, algorithm=algorithm)

    assert check(one, {"authorization": f"Bearer {signed}"}) == Identity(HASH, "lead.created")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"auth": "basic"}, 'has a secret that is not user:password, as auth "basic" wants it'),
        ({"auth": "jwt", "secrets": ["a", PEM]}, "is no key for HS256: take a passphrase"),
        ({"auth": "jwt", "jwt_algorithm": "RS256"}, "is no key for RS256: take the public key in"),
        ({"auth": "jwt", "jwt_algorithm": "ES384"}, "is no key for ES384: take the public key in"),
        (
            {"auth": "jwt", "jwt_algorithm": "ES256", "secrets": [PEM]},
            "is no key for ES256: take the public key in",
        ),
    ],
)
def test_a_secret_that_could_never_fit_is_refused_at_the_start(
    fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(MistakesError, match=sentence):
        sources_of({"n8n": {"type": "n8n", "secrets": [SECRET]} | fields})


def test_the_id_is_a_configured_field() -> None:
    assert check(source("header", id_field="id"), {"x-webhook-secret": SECRET}).id == "42"


def test_old_and_new_secrets_are_good_while_they_are_changed() -> None:
    assert check(source("header", secrets=["new", "old"]), {"x-webhook-secret": "old"})
    headers = {"authorization": token({}, key="o" * 32)}
    assert check(source("jwt", secrets=[SECRET, "o" * 32]), headers)


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ("header", {}),
        ("header", {"x-webhook-secret": "é"}),
        ("header", {"x-webhook-secret": SECRET[:-1]}),
        ("basic", {"authorization": basic(f"n8n:{SECRET}x")}),
        ("basic", {"authorization": "Basic é"}),
        ("jwt", {}),
        ("jwt", {"authorization": "Bearer a.b.c"}),
        ("jwt", {"authorization": token({}, key="other" * 8)}),
        ("jwt", {"authorization": token({}, key="", algorithm=None)}),
        ("jwt", {"authorization": token({}, algorithm="HS384")}),
        ("jwt", {"authorization": token({"exp": later(-60)})}),
        ("jwt", {"authorization": token({"nbf": later(HOUR)})}),
        ("hmac", {"x-signature": hmac.new(b"other", BODY, hashlib.sha256).hexdigest()}),
    ],
)
def test_what_is_forged_or_expired_is_refused(auth: str, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignatureError):
        check(source(auth, secrets=[f"n8n:{SECRET}"] if auth == "basic" else [SECRET]), headers)


def test_a_body_that_was_encoded_anew_does_not_fit_its_hmac() -> None:
    headers = {"x-signature": hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()}
    with pytest.raises(BadSignatureError):
        check(source("hmac"), headers, BODY.replace(b": ", b":"))


def test_a_token_signed_with_a_public_key_as_if_it_were_a_secret_is_refused() -> None:
    header, claims = (
        base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', b"{}")
    )
    signature = hmac.new(PEM.encode(), header + b"." + claims, hashlib.sha256).digest()
    parts = [header, claims, base64.urlsafe_b64encode(signature).rstrip(b"=")]
    one = source("jwt", secrets=[PEM], jwt_algorithm="RS256")
    with pytest.raises(BadSignatureError):
        check(one, {"authorization": "Bearer " + b".".join(parts).decode()})


@pytest.mark.parametrize("auth", ["header", "basic", "jwt", "hmac"])
def test_a_sample_is_taken_in_each_way(auth: str) -> None:
    one = source(auth, id_field="id", secrets=["a:" + SECRET])
    sample = one.sample("lead.created", "7", url="", at=time())
    headers = {name.lower(): value for name, value in sample.headers.items()}

    assert check(one, headers, sample.body) == Identity("7", "lead.created")


def test_a_sample_needs_the_private_key() -> None:
    with pytest.raises(ValueError, match="Only n8n has the private key"):
        source("jwt", secrets=[PEM], jwt_algorithm="RS256").sample("", "7", url="", at=0)
