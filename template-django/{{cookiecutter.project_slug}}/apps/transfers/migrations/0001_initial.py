import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import apps.transfers.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("jobs", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Transfer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("model_label", models.CharField(max_length=100, verbose_name="rows")),
                ("name", models.CharField(max_length=200, verbose_name="file")),
                ("file", models.FileField(upload_to=apps.transfers.models.upload_path)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="uploaded")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("uploaded", "waits to be checked"),
                            ("refused", "refused"),
                            ("checked", "waits for confirmation"),
                            ("confirmed", "is being imported"),
                            ("imported", "imported"),
                        ],
                        default="uploaded",
                        max_length=10,
                    ),
                ),
                ("created", models.PositiveIntegerField(default=0, verbose_name="new")),
                ("updated", models.PositiveIntegerField(default=0, verbose_name="changed")),
                ("unchanged", models.PositiveIntegerField(default=0)),
                ("errors", models.JSONField(default=list)),
                ("error_count", models.PositiveIntegerField(default=0)),
                ("preview", models.JSONField(default=dict)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="transfers",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="jobs.job",
                    ),
                ),
            ],
            options={
                "verbose_name": "import",
                "ordering": ["-created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                ["uploaded", "refused", "checked", "confirmed", "imported"],
                            )
                        ),
                        name="transfer_state_known",
                    )
                ],
            },
        ),
    ]
