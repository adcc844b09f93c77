"""A small OpenID Connect provider on this machine, for tests."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID = "client-of-tests"
CLIENT_SECRET = "shared-by-both-sides-of-the-tests"  # noqa: S105 - opens nothing


class Provider:
    """Knows one person, whose claims a test sets."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "7", "email": "ann@example.com", "name": "Ann Lee"}
        self.url = ""
        self.asked: dict[str, str] = {}
        self.nonces: dict[str, str] = {}
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def consent(self, url: str) -> str:
        """What the person does: come with the browser and agree. Return the way back."""
        self.asked = dict(parse_qsl(urlsplit(url).query))
        assert url.startswith(f"{self.url}/authorize?")
        assert self.asked["client_id"] == CLIENT_ID
        back = urlsplit(self.asked["redirect_uri"])
        return f"{back.path}?code=once&state={self.asked['state']}"

    def id_token(self, **claims: Any) -> str:
        now = int(time.time())
        payload = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 60,
            **self.claims,
            **claims,
        }
        return jwt.encode(payload, self.key, algorithm="RS256", headers={"kid": "1"})

    def answer(self, path: str, form: dict[str, str]) -> Any:
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            }
        if path == "/token":
            assert form["client_secret"] == CLIENT_SECRET
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            assert challenge == self.asked["code_challenge"]
            return {"access_token": "for-userinfo", "id_token": self.id_token()}
        if path == "/keys":
            key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
            return {"keys": [key | {"kid": "1", "alg": "RS256"}]}
        return self.claims


@contextmanager
def running_provider() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qs(self.rfile.read(length).decode())
            answer = provider.answer(self.path, {name: value[0] for name, value in form.items()})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_POST = do_GET  # noqa: N815 - so is it called

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield provider
        server.shutdown()
