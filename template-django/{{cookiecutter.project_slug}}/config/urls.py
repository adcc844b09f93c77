"""Addresses of the API have no slash at their end: SimpleRouter(trailing_slash=False)."""

from django.conf import settings
from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.utils.functional import lazy
from django.views.generic import RedirectView

from apps.core import docs, health
{% if cookiecutter.example %}
from apps.schools import api as schools
{% endif %}
from apps.users import api as users

admin.site.site_header = admin.site.site_title = settings.ENV.title
admin.site.index_title = "Start"

# Not before it is asked for: in production the name depends on what was collected.
static_lazy = lazy(static, str)

handler400 = "apps.core.errors.bad_request"
handler403 = "apps.core.errors.forbidden"
handler404 = "apps.core.errors.not_found"
handler500 = "apps.core.errors.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=static_lazy("core/icon.svg"))),
    path("health/live", health.Live.as_view()),
    path("health/ready", health.Ready.as_view()),
    path("api/", include(users.urls)),
{% if cookiecutter.example %}
    path("api/", include(schools.urls)),
    path("schools/", include("apps.schools.urls")),
{% endif %}
    path("admin/", admin.site.urls),
{% if cookiecutter.accounts %}
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
{% endif %}
    *(docs.pages() if settings.ENV.docs else []),
]
