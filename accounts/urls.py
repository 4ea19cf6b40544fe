"""DigestLinks in and out for readers."""

from django.urls import URLPattern, path

from accounts import views

urlpatterns: list[URLPattern] = [
    path("subscribe", views.subscribe, name="subscribe"),
    path("confirm/<str:key>", views.confirm, name="confirm"),
    path("unsubscribe/<str:key>", views.unsubscribe, name="unsubscribe"),
    path("unsubscribe/<str:key>/instead", views.instead, name="instead"),
    path("fresh-link", views.fresh_link, name="fresh_link"),
    path("address/<str:key>", views.address, name="address"),
]
