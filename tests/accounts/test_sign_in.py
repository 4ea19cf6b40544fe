"""Staff sign-in: limits, two-factor authentication, invitations and password resets."""

import re

import pytest
import segno
from django.core import mail
from django.test import Client
from django.urls import reverse
from django_otp.oath import totp
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough password"
INDEX = "/admin/"


@pytest.fixture(autouse=True)
def fast_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def edith(fast_hashes, edith):
    edith.set_password(PASSWORD)
    edith.save()
    return edith


def sign_in(
    client, email="edith@example.org", password=PASSWORD, code="", ip="192.0.2.7"
):
    fields = {"username": email, "password": password, "code": code}
    return client.post(reverse("admin:login"), fields, REMOTE_ADDR=ip)


def is_signed_in(client):
    return client.get(INDEX).status_code == 200


def code_of(device, offset=0):
    return f"{totp(device.bin_key, t0=device.t0 - 30 * offset):06}"


@pytest.fixture
def device(edith, client):
    """Edith's authenticator app, turned on through the admin; `client` is signed out again."""
    sign_in(client)
    url = reverse("admin:accounts_user_two_factor")
    client.get(url)
    device = TOTPDevice.objects.get(user=edith)
    client.post(url, {"code": code_of(device)})
    client.logout()
    device.refresh_from_db()
    device.last_t = -1  # the test signs in within the same 30 seconds
    device.save()
    return device


# Limits


def test_failed_sign_ins_are_limited_by_account_and_network(client, edith):
    for number in range(10):
        assert "Please enter the correct" in sign_in(client, password=f"{number}").text

    refused = sign_in(client)
    other_network = sign_in(Client(), ip="198.51.100.7")

    assert "Too many failed sign-in attempts" in refused.text
    assert other_network.status_code == 302


def test_failures_at_other_accounts_do_not_refuse_the_right_password(client, edith):
    for number in range(30):
        sign_in(Client(), email=f"neighbour{number % 3}@example.org")

    assert sign_in(client).status_code == 302


def test_failures_of_others_do_not_refuse_a_known_browser(client, edith):
    sign_in(client)
    client.post(reverse("admin:logout"))
    for number in range(30):
        sign_in(Client(), password=f"guess {number}")

    assert sign_in(client).status_code == 302
    assert "Too many" in sign_in(Client()).text


def test_cookie_of_a_known_browser_is_for_one_account_and_cannot_be_forged(
    client, edith
):
    User.objects.create_user("eve@example.org", PASSWORD, is_staff=True)
    sign_in(client, email="eve@example.org")
    client.post(reverse("admin:logout"))
    (cookie,) = (c for c in client.cookies.values() if c.key == "known_browser")
    assert cookie["httponly"]
    assert cookie["path"] == INDEX
    for number in range(30):
        sign_in(client, password=f"guess {number}")
    assert "Too many" in sign_in(client).text

    client.cookies["known_browser"] = "forged"

    assert "Too many" in sign_in(client).text


def test_known_browser_is_limited_too(client, edith):
    sign_in(client)
    client.post(reverse("admin:logout"))
    for number in range(10):
        sign_in(client, password=f"guess {number}")

    assert "Too many" in sign_in(client).text


def test_successful_sign_in_resets_the_count(client, edith):
    for _ in range(3):
        for number in range(6):
            sign_in(client, password=f"typo {number}")
        assert sign_in(client).status_code == 302
        client.post(reverse("admin:logout"))


def test_every_spelling_of_an_account_counts_as_one(client, edith):
    for number in range(10):
        email = "Edith@Example.ORG" if number % 2 else " edith@example.org"
        sign_in(client, email=email, password=f"{number}")

    assert "Too many" in sign_in(client).text


def test_failed_sign_in_is_logged_without_address_or_password(client, edith, caplog):
    sign_in(client, password="guessed secret")
    sign_in(client, email="unknown@example.org")

    assert "sign-in failed" in caplog.text
    assert f"account={edith.pk}" in caplog.text
    assert "network='192.0.2.0/24'" in caplog.text
    assert "account=None" in caplog.text
    assert "guessed secret" not in caplog.text
    assert "example.org" not in caplog.text


# Two-factor authentication


def test_enrolling_shows_a_qr_code_and_recovery_codes_once(client, edith):
    sign_in(client)
    url = reverse("admin:accounts_user_two_factor")
    page = client.get(url)
    device = TOTPDevice.objects.get(user=edith)
    assert not device.confirmed
    assert segno.make(device.config_url).svg_data_uri(scale=4) in page.text

    wrong = client.post(url, {"code": "000000"})
    right = client.post(url, {"code": code_of(device)})

    assert "This code is not correct" in wrong.text
    codes = {token.token for token in StaticDevice.objects.get().token_set.all()}
    assert len(codes) == 10
    assert all(code in right.text for code in codes)
    assert not any(code in client.get(url).text for code in codes)
    edith.refresh_from_db()
    assert edith.two_factor_at


def test_sign_in_needs_the_code(client, device):
    without = sign_in(client)
    wrong = sign_in(client, code="123456")
    assert "code from your authenticator app" in without.text
    assert "code from your authenticator app" in wrong.text
    assert not is_signed_in(client)
    device.refresh_from_db()
    device.throttle_reset()

    sign_in(client, code=code_of(device))

    assert is_signed_in(client)


def test_code_cannot_be_used_twice(client, device):
    code = code_of(device)
    sign_in(client, code=code)
    client.post(reverse("admin:logout"))

    assert sign_in(client, code=code).status_code == 200


def test_recovery_code_works_once(client, device):
    code = StaticDevice.objects.get().token_set.first().token
    typed = f" {code[:4].upper()} {code[4:]}"

    sign_in(client, code=typed)

    assert is_signed_in(client)
    client.post(reverse("admin:logout"))
    assert sign_in(client, code=typed).status_code == 200


def test_wrong_code_counts_as_a_failed_sign_in(client, device):
    for _ in range(10):
        sign_in(client, code="123456", ip="198.51.100.7")

    other = sign_in(Client(), code=code_of(device), ip="198.51.100.7")

    assert "Too many failed sign-in attempts" in other.text


def test_enrolling_ends_other_sessions(client, edith):
    other = Client()
    sign_in(other)
    sign_in(client)
    url = reverse("admin:accounts_user_two_factor")
    client.get(url)

    client.post(url, {"code": code_of(TOTPDevice.objects.get())})

    assert is_signed_in(client)
    assert not is_signed_in(other)


def test_turning_two_factor_off_needs_a_code(client, device):
    sign_in(client, code=code_of(device))
    url = reverse("admin:accounts_user_two_factor")
    client.post(url, {"code": "123456"})
    assert TOTPDevice.objects.exists()
    TOTPDevice.objects.update(last_t=-1, throttling_failure_count=0)

    client.post(url, {"code": code_of(device)})

    assert not TOTPDevice.objects.exists()
    assert not StaticDevice.objects.exists()
    assert is_signed_in(client)
    assert sign_in(Client()).status_code == 302


def test_superuser_resets_the_two_factor_authentication_of_a_colleague(
    client, device, django_user_model
):
    django_user_model.objects.create_superuser("root@example.org", PASSWORD)
    sign_in(client, email="root@example.org")

    client.post(
        reverse("admin:accounts_user_changelist"),
        {"action": "reset_two_factor", "_selected_action": device.user_id},
    )

    assert not TOTPDevice.objects.exists()
    assert sign_in(Client()).status_code == 302


@pytest.mark.parametrize("required", [True, False])
def test_two_factor_can_be_required(client, edith, settings, required):
    settings.REQUIRE_TWO_FACTOR = required
    sign_in(client)

    response = client.get(reverse("admin:accounts_subscriber_changelist"))

    assert response.status_code == (302 if required else 200)
    if required:
        url = reverse("admin:accounts_user_two_factor")
        assert response.headers["Location"] == url
        assert client.get(url).status_code == 200
        assert client.post(reverse("admin:logout")).status_code == 200


def test_secrets_of_devices_are_not_in_the_admin(client, edith):
    client.force_login(edith)

    assert client.get("/admin/otp_totp/totpdevice/").status_code == 404
    assert client.get("/admin/otp_static/staticdevice/").status_code == 404


# Invitations and password resets


def password_path(message):
    (path,) = re.findall(r"http://testserver(/admin/\S+)", message.body)
    assert path in message.alternatives[0][0]
    return path


def choose_password(client, path, password="another long passphrase"):
    form = client.get(path, follow=True)
    fields = {"new_password1": password, "new_password2": password}
    return client.post(form.request["PATH_INFO"], fields, follow=True)


def ask_reset(client, email, capture_on_commit):
    with capture_on_commit(execute=True):
        return client.post(reverse("admin:admin_password_reset"), {"email": email})


def test_password_is_reset_by_mail(client, edith, django_capture_on_commit_callbacks):
    assert reverse("admin:admin_password_reset") in client.get("/admin/login/").text
    ask_reset(client, " Edith@Example.org", django_capture_on_commit_callbacks)
    (message,) = mail.outbox
    assert message.to == [edith.email]
    assert "Reset your" in message.subject
    path = password_path(message)

    done = choose_password(client, path)

    assert "another long passphrase" not in done.text
    assert sign_in(client, password="another long passphrase").status_code == 302
    assert "no longer valid" in client.get(path, follow=True).text


def test_password_reset_reveals_no_account(
    client, edith, django_capture_on_commit_callbacks
):
    registered, unregistered = (
        ask_reset(client, email, django_capture_on_commit_callbacks)
        for email in (edith.email, "unknown@example.org")
    )

    assert (registered.status_code, registered.headers["Location"]) == (
        unregistered.status_code,
        unregistered.headers["Location"],
    )
    assert len(mail.outbox) == 1


def test_reset_keeps_two_factor_authentication(
    client, device, django_capture_on_commit_callbacks
):
    ask_reset(client, "edith@example.org", django_capture_on_commit_callbacks)
    choose_password(client, password_path(mail.outbox[-1]))

    assert sign_in(client, password="another long passphrase").status_code == 200
    code = code_of(device)
    sign_in(client, password="another long passphrase", code=code)
    assert is_signed_in(client)


def test_reset_mails_are_limited_and_inactive_accounts_get_none(
    client, edith, django_capture_on_commit_callbacks
):
    for _ in range(5):
        ask_reset(client, edith.email, django_capture_on_commit_callbacks)
    assert len(mail.outbox) == 3
    User.objects.create_user("gone@example.org", PASSWORD, is_active=False)

    ask_reset(client, "gone@example.org", django_capture_on_commit_callbacks)

    assert len(mail.outbox) == 3


def test_reset_form_answers_429_to_a_network_that_posts_too_often(client, db):
    codes = [
        client.post(
            reverse("admin:admin_password_reset"), {"email": f"a{n}@example.org"}
        ).status_code
        for n in range(21)
    ]

    assert codes == [302] * 20 + [429]


def test_new_editor_without_password_is_invited(
    client, edith, django_capture_on_commit_callbacks
):
    client.force_login(edith)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(
            reverse("admin:accounts_user_add"),
            {"email": "New@Example.org", "name": "New", "usable_password": "false"},
        )
    (message,) = mail.outbox
    assert message.to == ["new@example.org"]
    assert "invited" in message.subject
    editor = User.objects.get(email="new@example.org")
    assert not editor.has_usable_password()

    choose_password(Client(), password_path(message))

    editor.refresh_from_db()
    assert editor.check_password("another long passphrase")


def test_editor_can_be_invited_again(client, edith, django_capture_on_commit_callbacks):
    new = User.objects.create_user("new@example.org", is_staff=True)
    client.force_login(edith)

    with django_capture_on_commit_callbacks(execute=True):
        client.post(
            reverse("admin:accounts_user_changelist"),
            {"action": "mail_password_link", "_selected_action": new.pk},
        )

    assert mail.outbox[-1].to == ["new@example.org"]
