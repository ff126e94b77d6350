"""Names of annotators: pseudonyms in the log, the names apart, deleted on request."""

import pytest

from concord.console import persons
from concord.console.book import Book, pseudonym
from concord.console.credentials import ALIAS, alias
from concord.kit.errors import NotFound
from concord.kit.settings import from_environment
from concord.v1.events_pb2 import Event, Stage
from concord.v1.pairs_pb2 import CHOICE_FIRST

SECRET, OTHER = b"a secret of enough bytes", b"another one of as many"


def test_a_pseudonym_is_the_same_wherever_the_secret_is_and_says_nothing_of_the_name():
    made = alias("Änn", SECRET)
    assert ALIAS.fullmatch(made) and made == alias("Änn", SECRET) == alias(made, SECRET)
    assert len({made, alias("Bob", SECRET), alias("Änn", OTHER)}) == 3


def test_a_name_is_kept_apart_until_it_is_forgotten_and_is_not_written_down_again(tmp_path):
    settings = from_environment({}, home=str(tmp_path))
    ann, bob, book = pseudonym(settings, "ann"), pseudonym(settings, "bob"), Book.of(settings)
    assert book.known() == {ann: "ann", bob: "bob"} and book.name_of(ann) == "ann"
    assert book.forget("ann") == [ann] and book.forget(bob) == [bob]
    assert pseudonym(settings, "ann") == ann, "the same person, so that nobody gets a question twice"
    assert book.known() == {} and book.name_of(ann) == ann
    with pytest.raises(NotFound, match="ann"):
        book.forget("ann")
    assert not any("ann" in path.read_text() for path in (tmp_path / "people").iterdir())


def test_a_name_that_leads_elsewhere_reads_no_file(tmp_path):
    (tmp_path / "console-secret").write_text("secret")
    book = Book(tmp_path / "people")
    assert book.name_of("../console-secret") == "../console-secret"


def test_pay_is_told_by_name_and_by_pseudonym_once_the_name_is_forgotten(tmp_path):
    settings = from_environment({}, home=str(tmp_path))
    ann, book = pseudonym(settings, "=ann"), Book.of(settings)
    said = {"annotator": ann, "choice": CHOICE_FIRST, "seconds": 3.0, "revision": 1}
    events = [Event(unit={"stage": Stage.STAGE_ANNOTATE, "round": 1}, annotation_submitted=said)]
    found = persons.persons(events)
    assert "'=ann,1,0,0,3,3.0" in persons.table(persons.named(found, book.name_of))
    book.forget("=ann")
    assert f"{ann},1,0,0,3,3.0" in persons.table(persons.named(found, book.name_of))
