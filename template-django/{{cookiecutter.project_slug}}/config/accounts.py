"""Settings of django-allauth: sign-up, verification, reset, social login, second factors."""

from typing import Any

from django.urls import reverse_lazy

from config.environment import Environment, load_environment

env = load_environment()

LOGIN_URL = reverse_lazy("account_login")
AUTHENTICATION_BACKENDS = ["apps.accounts.backends.PasswordBackend"]
# A link to set a new password: seconds.
PASSWORD_RESET_TIMEOUT = 3600
# allauth counts attempts and used codes in the cache. In the database all processes share it.
CACHE_TABLE = "cache"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": CACHE_TABLE,
        # With the default of 300, many attempts would push each other out.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# apps/users/throttle.py counts failed logins, for the API as well: by its rules nobody can keep an
# owner out, nor a whole school behind one address.
ACCOUNT_RATE_LIMITS: dict[str, Any] = {"login": False, "login_failed": False}
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if env.trusted_proxy else 0

ACCOUNT_ADAPTER = "apps.accounts.adapters.AccountAdapter"
{% if cookiecutter.login == "email" %}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
{% else %}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email*", "password1*", "password2*"]
{% endif %}
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_CONFIRMATION_EXPIRE_DAYS = 1
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "apps.accounts.tokens.ResetTokenGenerator"  # noqa: S105 - a path
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{env.title}] "
ACCOUNT_LOGOUT_REDIRECT_URL = LOGIN_URL

MFA_ADAPTER = "apps.accounts.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
# Security keys want HTTPS; in development http://localhost will do.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not env.production
MFA_TOTP_ISSUER = env.title

# For programs; browsers use the pages under /accounts/.
HEADLESS_ADAPTER = "apps.accounts.adapters.HeadlessAdapter"
HEADLESS_CLIENTS = ("app",)
HEADLESS_TOKEN_STRATEGY = "apps.accounts.{{ cookiecutter.api_auth }}.ApiTokenStrategy"  # noqa: S105 - a path
HEADLESS_SERVE_SPECIFICATION = env.docs
HEADLESS_SPECIFICATION_TEMPLATE_NAME = None

SOCIALACCOUNT_ADAPTER = "apps.accounts.adapters.SocialAccountAdapter"
# An address that the provider verified opens the account that has it: only if you trust the provider with that.
SOCIALACCOUNT_EMAIL_AUTHENTICATION = env.link_by_email
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = env.link_by_email


def social_providers(env: Environment) -> dict[str, Any]:
    """What has no client id in the environment gets no button."""
    providers: dict[str, Any] = {}
    if env.google_client_id:
        providers["google"] = {
            "APPS": [
                {
                    "client_id": env.google_client_id,
                    "secret": env.google_client_secret.get_secret_value(),
                }
            ],
            "OAUTH_PKCE_ENABLED": True,
        }
    if env.oidc_client_id:
        providers["openid_connect"] = {
            "APPS": [
                {
                    "provider_id": "oidc",
                    "name": env.oidc_name,
                    "client_id": env.oidc_client_id,
                    "secret": env.oidc_client_secret.get_secret_value(),
                    "settings": {"server_url": env.oidc_url},
                }
            ],
            "OAUTH_PKCE_ENABLED": True,
        }
    return providers


SOCIALACCOUNT_PROVIDERS = social_providers(env)
