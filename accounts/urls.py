"""Sign-up, unsubscribing and mailed links."""

from django.urls import URLPattern, path

from accounts import views

urlpatterns: list[URLPattern] = [
    path("subscribe", views.subscribe, name="subscribe"),
    path("confirm/<str:key>", views.confirm, name="confirm"),
    path("unsubscribe/<str:key>", views.unsubscribe, name="unsubscribe"),
    path(
        "unsubscribe/<str:key>/preferences-link",
        views.mail_preferences_link,
        name="mail_preferences_link",
    ),
    path("block/<str:key>", views.block_address, name="block_address"),
    path("preferences-link", views.request_link, name="request_link"),
    path("address/<str:key>", views.confirm_address, name="confirm_address"),
]
