from simple_history import register

from apps.users.models import User

# Not what would help somebody who reads it: passwords. Not what changes by itself: logins.
register(
    User, excluded_fields=["password", "last_login"], m2m_fields=["groups", "user_permissions"]
)
