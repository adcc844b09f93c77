from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from apps.schools.models import Report
from apps.schools.reports import download


@require_safe
@login_required
def report(request: HttpRequest, pk: int) -> HttpResponseBase:
    if not request.user.has_perm("schools.view_report"):
        raise Http404
    rows = Report.objects.visible_to(request.user).select_related("student", "term")
    return download(get_object_or_404(rows, pk=pk))
