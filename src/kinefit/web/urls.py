"""Addresses."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from kinefit.web import tus, views
from kinefit.web.files import static_file
from kinefit.web.programs import api

_API, _APP, _SPACE = api.urls
for _pattern in _API:
    assert _pattern.callback is not None
    login_not_required(_pattern.callback)  # they ask for a token themselves

urlpatterns = [
    path("static/<path:name>", login_not_required(static_file), name="static"),
    path("", views.projects, name="projects"),
    path("login", views.Login.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("projects/<int:number>", views.project, name="project"),
    path("projects/<int:number>/delete", views.delete_project, name="delete_project"),
    path("projects/<int:number>/trials", views.new_trial, name="new_trial"),
    path("trials/<uuid:key>", views.trial, name="trial"),
    path("trials/<uuid:key>/cancel", views.cancel, name="cancel"),
    path("trials/<uuid:key>/delete", views.delete, name="delete"),
    path("trials/<uuid:key>/events", views.events, name="events"),
    path("trials/<uuid:key>/log", views.log, name="log"),
    path("trials/<uuid:key>/all.zip", views.everything, name="zip"),
    path("trials/<uuid:key>/files/<path:name>", views.result, name="result"),
    path("trials/<uuid:key>/uploads", tus.create, name="uploads"),
    path("uploads/<uuid:key>", tus.upload, name="upload"),
    path("uploads/<uuid:key>/picture", views.first_picture, name="first_picture"),
    path("compare", views.compare, name="compare"),
    path("programs", views.tokens, name="tokens"),
    path("api/", (_API, _APP, _SPACE)),
]
