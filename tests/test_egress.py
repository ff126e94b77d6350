"""A judge's URL leads nowhere inside: addresses are judged once a name is resolved, at every connection."""

import asyncio

import pytest

from concord.kit.egress import OWN, Egress, parse
from concord.kit.errors import InvalidInput, Permanent
from concord.kit.settings import egress, from_environment
from concord.labeling.answer_cache import MemoryAnswers
from concord.labeling.batch_wire import BatchWire
from concord.labeling.chat import ChatSettings
from concord.labeling.connecting import Guarded
from concord.labeling.llm import LLMJudges
from concord.labeling.refusal import Trouble
from concord.preference.pairs import make_pair
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.pairs_pb2 import Message, Response
from tests.endpoint import Endpoint

PAIR = make_pair("p", [Message(role="user", content="?")], Response(text="one"), Response(text="two"))
INSIDE = (
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "0.0.0.0",
    "::",
    "10.0.0.7",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:10.0.0.7",
    "64:ff9b::a00:7",
    "2002:0a00:0007::1",
    "198.18.0.1",
    "240.0.0.1",
)
METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
    "168.63.129.16",
    "100.100.100.200",
)
PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "64:ff9b::808:808")


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused_where_others_name_judges_and_open_on_ones_own_machine(address):
    assert "CONCORD_JUDGE_NETWORKS" in Egress().refusal("judge.example", address)
    assert OWN.refusal("judge.example", address) == ""


@pytest.mark.parametrize("address", METADATA)
def test_where_machines_keep_their_credentials_nobody_is_led_unless_it_is_named(address):
    for one in (Egress(), OWN, parse("10.0.0.0/8"), parse("private")):
        assert "metadata" in one.refusal("judge.example", address)
    named = parse("169.254.0.0/16,fe80::/10,fd00:ec2::254,168.63.129.16,100.100.100.200")
    assert named.refusal("judge.example", address) == ""


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_open(address):
    assert Egress().refusal("judge.example", address) == OWN.refusal("judge.example", address) == ""


def test_networks_and_names_open_what_they_name_and_no_more():
    named = parse("10.1.0.0/16, vllm.models.svc.")
    assert named.refusal("a.example", "10.1.2.3") == "" and named.refusal("a.example", "10.2.0.1")
    assert named.refusal("VLLM.models.svc", "10.2.0.1") == "" and named.refusal("other.models.svc", "10.2.0.1")
    assert named.refusal("a.example", "127.0.0.1")


def test_the_setting_follows_from_who_reaches_the_service_where_nobody_says():
    assert egress(from_environment({})).inner
    assert not egress(from_environment({"CONCORD_LISTEN": "0.0.0.0:7070"})).inner
    with_files = "?cert_file=/c&key_file=/k&ca_file=/a"
    assert egress(from_environment({"CONCORD_LISTEN": f"tls://127.0.0.1:7070{with_files}"})).inner
    assert not egress(from_environment({"CONCORD_LISTEN": f"tls://0.0.0.0:7070{with_files}"})).inner
    assert egress(from_environment({"CONCORD_LISTEN": "0.0.0.0:7070", "CONCORD_JUDGE_NETWORKS": "private"})).inner
    assert not egress(from_environment({"CONCORD_JUDGE_NETWORKS": "public"})).inner


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://vllm:8000", "10.0.0.0/8;127.0.0.1", "a b"])
def test_a_setting_that_names_nothing_is_refused_when_the_process_starts(text):
    with pytest.raises(InvalidInput, match="CONCORD_JUDGE_NETWORKS"):
        from_environment({"CONCORD_JUDGE_NETWORKS": text})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
def test_no_spelling_of_an_inner_address_reaches_an_endpoint_there(host):
    async def asked() -> int:
        async with Endpoint() as endpoint:
            judges = LLMJudges(MemoryAnswers(), {}, ChatSettings(), egress=Egress())
            config = JudgeConfig(kind="llm", name="m", url=endpoint.url.replace("127.0.0.1", host), both_orders=True)
            try:
                with pytest.raises(Permanent, match="is refused"):
                    await judges.ask([PAIR], config, 1)
            finally:
                await judges.close()
            return endpoint.calls

    assert asyncio.run(asked()) == 0


def test_a_judge_on_ones_own_machine_answers_and_one_that_is_named_does():
    async def asked(allowed: Egress) -> int:
        async with Endpoint() as endpoint:
            judges = LLMJudges(MemoryAnswers(), {}, ChatSettings(), egress=allowed)
            url = endpoint.url.replace("127.0.0.1", "localhost")
            ((said,), _) = await judges.ask([PAIR], JudgeConfig(kind="llm", name="m", url=url, both_orders=True), 1)
            await judges.close()
            return said.choice

    assert all(asyncio.run(asked(one)) in (1, 2) for one in (OWN, parse("127.0.0.0/8,::1"), parse("localhost")))


def test_batches_are_handed_in_under_the_same_rule():
    async def asked() -> int:
        async with Endpoint() as endpoint:
            place = LLMJudges(MemoryAnswers(), {}, egress=Egress()).endpoint(JudgeConfig(name="m", url=endpoint.url))
            wire = BatchWire(place)
            try:
                with pytest.raises((Permanent, Trouble), match="is refused"):
                    await wire.look("batch-1")
            finally:
                await wire.close()
            return endpoint.calls

    assert asyncio.run(asked()) == 0


def test_a_name_that_leads_elsewhere_the_second_time_is_refused_then():
    async def asked() -> None:
        async with Endpoint() as endpoint:
            port = int(endpoint.url.split(":")[2].split("/")[0])
            turns = [["127.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["10.0.0.1"]]

            async def resolve(host: str, port: int) -> list[str]:
                return turns.pop(0)

            guarded = Guarded(lambda: parse("127.0.0.0/8"), resolve)
            stream = await guarded.connect_tcp("judge.example", port)
            assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
            await stream.aclose()
            for _ in range(2):
                with pytest.raises(Trouble, match=r"judge\.example leads to"):
                    await guarded.connect_tcp("judge.example", port)

    asyncio.run(asked())


def test_a_redirect_inside_is_not_followed():
    async def asked() -> int:
        async with Endpoint() as inside, Endpoint(redirect=f"{inside.url}/chat/completions") as endpoint:
            judges = LLMJudges(MemoryAnswers(), {}, ChatSettings())
            with pytest.raises(Permanent, match="redirects to"):
                await judges.ask([PAIR], JudgeConfig(kind="llm", name="m", url=endpoint.url), 1)
            await judges.close()
            return inside.calls

    assert asyncio.run(asked()) == 0
