from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = admin.ModelAdmin


class TransferAdmin(Base):
    """Import and export, for models that have a resource in their app's resources.py."""
