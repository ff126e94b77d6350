"""Passes: what was signed is read again, and nothing else is; who may do what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.console import gate, roles
from concord.console.credentials import Pass, check_name, check_secret, form_token, is_form_token, read, sign
from concord.console.gate import Gate
from concord.kit.errors import Denied, InvalidInput
from concord.v1.runs_service_pb2 import Revocation, RunView

SECRET, OTHER = b"a secret of some length", b"another one of some length"
ANN = Pass("annotator", "Änn O'Neill", "run-1", 100.0, 200.0)


def test_a_pass_that_was_signed_is_read_again_until_its_time_is_over():
    token = sign(ANN, SECRET)
    assert read(token, SECRET, 199.9) == ANN
    with pytest.raises(Denied, match="time is over"):
        read(token, SECRET, 200.0)
    with pytest.raises(Denied, match="not issued here"):
        read(token, OTHER, 150.0)


@given(st.integers(0, 300), st.characters())
def test_a_pass_with_any_letter_changed_lets_nobody_in(at, letter):
    token = sign(ANN, SECRET)
    changed = token[: at % len(token)] + letter + token[at % len(token) + 1 :]
    if changed != token:
        with pytest.raises(Denied):
            read(changed, SECRET, 150.0)


@given(st.text())
def test_a_text_that_nobody_signed_is_no_pass(text):
    with pytest.raises(Denied):
        read(text, SECRET, 150.0)


def test_the_token_of_a_form_is_its_holders_and_no_pass():
    token = form_token("ann", SECRET)
    assert is_form_token(token, "ann", SECRET)
    assert not is_form_token(token, "bob", SECRET) and not is_form_token("ä", "ann", SECRET)
    body, _, signature = sign(ANN, SECRET).partition(".")
    assert not is_form_token(signature, body, SECRET)


@pytest.mark.parametrize("name", ["", " ", "a,b", "a\nb", "x" * 61, "a\u202eb"])
def test_a_name_is_short_and_plain(name):
    with pytest.raises(InvalidInput, match="a name of 1 to 60"):
        check_name(name)


def test_a_short_secret_is_refused_with_what_to_do():
    with pytest.raises(InvalidInput, match="openssl rand"):
        check_secret(b"short", "CONCORD_CONSOLE_SECRET_FILE=x")


# ── whose word counts ──


def test_a_proxy_s_word_counts_only_where_the_proxy_is_named_and_the_person_has_a_role():
    known = Gate(SECRET, gate.networks("10.0.0.5, 10.1.0.0/16"), "X-Forwarded-User", gate.people("ann=admin,*=viewer"))

    def role(peer: str, headers: dict[str, str], by: Gate = known) -> str:
        return by.holder("runs", {}, headers, peer, 1.0).held.role

    assert role("10.0.0.5", {"x-forwarded-user": "ann"}) == "admin"
    assert role("10.1.2.3", {"x-forwarded-user": "somebody"}) == "viewer"
    for peer, headers in (
        ("10.0.0.6", {"x-forwarded-user": "ann"}),
        ("10.0.0.5", {}),
        ("testclient", {"x-forwarded-user": "ann"}),
    ):
        with pytest.raises(Denied):
            role(peer, headers)
    with pytest.raises(Denied):
        role(
            "10.0.0.5",
            {"x-forwarded-user": "bob"},
            Gate(SECRET, gate.networks("10.0.0.5"), "X-Forwarded-User", {"ann": "admin"}),
        )


@pytest.mark.parametrize("text", ["ann", "ann=king", "=admin", "ann=annotator"])
def test_people_of_a_proxy_have_a_role_that_there_is(text):
    with pytest.raises(InvalidInput, match="NAME=ROLE"):
        gate.people(text)


def test_a_network_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="CONCORD_CONSOLE_PROXIES"):
        gate.networks("somewhere")


def test_a_pass_is_for_its_run_and_its_role_and_until_it_is_revoked():
    view = RunView(
        run_id="run-1", revocations=[Revocation(name="bob", before=150), Revocation(name=ANN.name, before=99)]
    )
    gate.check(ANN, roles.ANNOTATE, "run-1", view)
    for held, action, run_id in ((ANN, roles.WATCH, "run-1"), (ANN, roles.ANNOTATE, "run-2")):
        with pytest.raises(Denied):
            gate.check(held, action, run_id, view)
    view.revocations[1].before = 100
    with pytest.raises(Denied, match="revoked"):
        gate.check(ANN, roles.ANNOTATE, "run-1", view)


def test_nobody_lets_in_somebody_who_may_do_more():
    for role in roles.MAY:
        for other in roles.MAY:
            if roles.may_admit(role, other) and other != "annotator":
                assert roles.MAY[other] <= roles.MAY[role]
    assert not any(roles.may_admit(role, other) for role in ("annotator", "viewer") for other in roles.MAY)
