"""Doors in and out for readers."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
