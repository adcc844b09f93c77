from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


class HistoryAdmin(Base):
    """History with diff and revert, for models that their app's history.py tracks."""
