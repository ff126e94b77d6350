"""Secrets in URLs: what is refused where it would be recorded is hidden where it is shown."""

import pytest

from concord.kit.urls import is_under, secret_option, without_secrets

SECRETS = ("api_key", "Token", "client-secret", "sig", "X-Amz-Signature", "password", "sasl_pass", "pwd", "credentials")


@pytest.mark.parametrize("name", SECRETS)
def test_an_option_that_holds_a_secret_is_known_by_its_name_and_never_shown(name):
    assert secret_option(f"v=1&{name}=hunter2") == name
    assert "hunter2" not in without_secrets(f"https://host/v1?v=1&{name}=hunter2#model")


def test_an_option_without_a_value_is_one_as_well():
    assert secret_option("token") == "token"


def test_other_options_are_nobodys_secret():
    assert secret_option("api-version=2024-06-01&sslmode=require") == ""


@pytest.mark.parametrize("url", ["https://a.example/v1", "https://a.example/v1/", "https://a.example/v1/chat?x=1"])
def test_what_lies_under_a_url_is_told(url):
    assert is_under(url, "https://a.example/v1")


ELSEWHERE = (
    "http://a.example/v1",
    "https://a.example/v10",
    "https://a.example/",
    "https://a.example:8443/v1",
    "https://a.example.evil/v1",
    "https://a.example@evil/v1",
    "https://u@a.example/v1",
    "https://a.example/v1/../v2",
    "https://a.example/v1/%2e%2E/v2",
    "https://a.example/v1/%2e%2e%2fv2",
)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_what_lies_elsewhere_is_not_under_it(url):
    assert not is_under(url, "https://a.example/v1")


def test_nothing_lies_under_what_is_no_url():
    assert not is_under("a.example", "a.example")
