from django.urls import path

from apps.schools import views

urlpatterns = [path("reports/<int:pk>/", views.report, name="report")]
