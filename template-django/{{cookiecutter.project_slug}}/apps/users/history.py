from simple_history import register

from apps.history.records import Records
from apps.users.models import User

# Not what would help somebody who reads it: passwords. Not what changes by itself: logins.
register(
    User,
    records_class=Records,
    excluded_fields=["password", "last_login"],
    m2m_fields=["groups", "user_permissions"],
)
