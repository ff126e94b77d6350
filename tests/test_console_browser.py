"""The pages in a real browser: a run finished by five people who use the keyboard alone, a connection that is lost, pictures."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from concord.v1 import runs_service_pb2 as runs_pb
from tests.chrome import DESKTOP, PHONE, PROGRAM, Tab, browser
from tests.console_world import World, world_in

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no Chromium: apt-get install chromium")]
ROOT = Path(__file__).parent.parent
AXE = ROOT / ".tools" / "axe"
AXE_VERSION = "4.14.1"
READY = "!document.getElementById('task').hidden || /All done/.test(document.getElementById('waiting').textContent)"
OVER = "/All done/.test(document.getElementById('waiting').textContent) && document.getElementById('task').hidden"
KEPT = "Object.keys(localStorage).length"
# A reason to skip is chosen, and before the dialog says that it is closed a key has answered; how many questions are gone then.
SKIP_AND_ANSWER = """new Promise((resolve) => {
    const before = queue.map((task) => task.id), dialog = document.getElementById("why");
    dialog.addEventListener("close", () => resolve(before.findIndex((id) => id === queue[0].id)), {once: true});
    press("S");
    dialog.querySelector("[data-number]").click();
    press("1");
})"""


async def person(tab: Tab, link: str, number: int) -> int:
    """Answers whatever comes, by keys alone; how many answers stand in the end."""
    await tab.open(link)
    given = turn = 0
    while True:
        await tab.until(READY)
        if await tab.value(OVER):
            return given
        turn += 1
        key = "120B"[(turn + number) % 4]
        if turn % 5 == 3:
            await tab.press("d")
        if turn % 7 == 5:
            await tab.press("s")
            await tab.until("document.getElementById('why').open")
            key = "2"
        shown = await tab.value("queue[0].id")
        await tab.press(key)
        # A dialog says that it was closed a moment later; what is pressed before that was not meant for what comes next.
        await tab.until(f"!queue.length || queue[0].id !== '{shown}'")
        given += 1
        if turn % 4 == 2:
            await tab.press("u")
            await tab.until("/Taken back|counts already/.test(document.getElementById('said').textContent)")
            given -= "Taken back" in await tab.value("document.getElementById('said').textContent")


def test_five_people_finish_a_run_by_keyboard_and_no_answer_is_lost_or_counted_twice(tmp_path):
    with world_in(tmp_path, hold_s=0.4, quorum=2, budget="24") as world:

        async def all_of_them() -> list[int]:
            async with browser() as chrome:
                tabs = [await chrome.tab() for _ in range(5)]
                people = [person(tab, world.link("annotator", f"p{n}"), n) for n, tab in enumerate(tabs)]
                given = await asyncio.gather(*people)
                assert [await tab.value(KEPT) for tab in tabs] == [0] * 5
                return list(given)

        given = asyncio.run(asyncio.wait_for(all_of_them(), 240))
        view = world.view()
        assert view.status == runs_pb.RUN_STATUS_FINISHED
        resolved = world.facts("task_resolved")
        standing = {}
        for kind in ("annotation_submitted", "task_skipped", "annotation_withdrawn"):
            for one in world.facts(kind):
                known = standing.get((one.annotator, one.pair_index), (0, ""))
                standing[one.annotator, one.pair_index] = max(known, (one.revision, kind))
        stands = [who for who, (_, kind) in standing.items() if kind != "annotation_withdrawn"]
        assert len(stands) == sum(given)
        assert view.votes == sum(len(one.annotation_ids) for one in resolved)
        assert all(len(set(one.annotators)) == len(one.annotators) <= 2 for one in resolved)


def test_a_lost_connection_loses_nothing_and_a_page_loaded_anew_sends_what_was_kept(tmp_path):
    with world_in(tmp_path, hold_s=0.2, method="all-human", budget="240", batch=1.0, pilot=0) as world:

        async def one() -> None:
            async with browser() as chrome:
                tab = await chrome.tab()
                await tab.open(world.link("annotator", "ann"))
                await tab.until("queue.length >= 2")
                await tab.offline(True)
                await tab.press("1")
                await tab.press("2")
                await tab.until("!document.getElementById('offline').hidden")
                assert await tab.value(KEPT) == 2
                assert not world.facts("annotation_submitted")
                await tab.offline(False)
                await tab.do("Page.reload")
                await tab.until("document.readyState === 'complete' && Object.keys(localStorage).length === 0")
                said = world.facts("annotation_submitted")
                assert len(said) == 2 and {one.annotator for one in said} == {world.alias("ann")}
                await tab.until("queue.length >= 2")
                assert await tab.value(SKIP_AND_ANSWER) == 1, "what the dialog says later is not of the next question"

        asyncio.run(asyncio.wait_for(one(), 120))


def axe() -> str:
    """axe-core's source, fetched once by npm."""
    found = AXE / "node_modules/axe-core/axe.min.js"
    if not found.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm to fetch axe-core with")
        AXE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(AXE), "--no-audit", "--no-fund", f"axe-core@{AXE_VERSION}"]
        subprocess.run(command, check=True, capture_output=True)
    return found.read_text()


async def faults(tab: Tab, source: str) -> list[str]:
    """What axe-core finds wrong by WCAG 2.2 AA."""
    await tab.value(f"{source}; true")
    wanted = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
    found = await tab.value(
        f"axe.run(document, {json.dumps(wanted)}).then((found) => JSON.stringify(found.violations))"
    )
    return [f"{one['id']}: {node['html']}" for one in json.loads(found) for node in one["nodes"]]


def test_every_page_is_accessible_in_light_dark_on_a_phone_and_enlarged(tmp_path):
    """With PICTURES=FOLDER in the environment the pages are also drawn there."""
    source = axe()
    with world_in(tmp_path, method="all-human", batch=1.0, pilot=0) as world:
        asyncio.run(asyncio.wait_for(looked_at(world, source), 240))


def test_an_operator_s_forms_reach_the_run_from_a_real_browser(tmp_path):
    with world_in(tmp_path, quorum=2, budget="24") as world:

        async def one() -> None:
            async with browser() as chrome:
                tab = await chrome.tab()
                await tab.open(world.link("operator", "op"))
                form = """document.querySelector('form[action$="/pause"]')"""
                await tab.until(f"{form} !== null")
                await tab.value(f"{form}.why.value = 'tea'; {form}.querySelector('button').click(); true")
                await tab.until("document.querySelector('#standing .status')?.textContent === 'paused'")
                await tab.until("document.body && document.body.innerText.includes('tea (op)')")
                await tab.value("""document.querySelector('form[action$="/resume"] button').click(); true""")
                await tab.until("document.querySelector('#standing .status')?.textContent === 'running'")

        asyncio.run(asyncio.wait_for(one(), 120))


async def looked_at(world: World, source: str) -> None:
    pictures = os.environ.get("PICTURES", "")
    async with browser() as chrome:
        tab = await chrome.tab()
        await tab.open(world.link("annotator", "ann"))
        await tab.until("queue.length > 0")
        await until_much_is_said_by_both(tab)
        await pages(tab, "annotate", source, pictures)
        await tab.press("d")
        await pages(tab, "differences", source, pictures)
        await tab.press("?")
        await pages(tab, "help", source, pictures)
        await tab.press("Escape")
        for key in "1102":
            await tab.until(READY)
            await tab.press(key)
        operator = await chrome.tab()
        await operator.open(world.link("admin", "op", ""))
        await pages(operator, "runs", source, pictures)
        await operator.open(f"{world.console.url}/runs/{world.job.run_id}")
        await operator.until("/Open questions/.test(document.body.innerText)")
        await pages(operator, "run", source, pictures)
        await operator.open(f"{world.console.url}/runs/{world.job.run_id}/people")
        await pages(operator, "people", source, pictures)
        await operator.open(f"{world.console.url}/runs/{world.job.run_id}/letters")
        await pages(operator, "letters", source, pictures)
        number = world.facts("annotation_submitted")[0].pair_index
        await operator.open(f"{world.console.url}/runs/{world.job.run_id}/pair?pair=%23{number}")
        await pages(operator, "pair", source, pictures)
        await operator.open(f"{world.console.url}/nothing")
        await pages(operator, "lost", source, pictures)


async def until_much_is_said_by_both(tab: Tab) -> None:
    """Skips questions until two sentences or more of an answer are in the other one too."""
    links = "new Set((queue[0]?.compared?.[0] || []).filter((one) => one.link).map((one) => one.link)).size"
    for _ in range(40):
        if await tab.value(links) >= 2:
            return await tab.until("document.getElementById('said').hidden")
        shown = await tab.value("queue[0].id")
        await tab.press("s")
        await tab.until("document.getElementById('why').open")
        await tab.press("1")
        await tab.until(f"queue.length && queue[0].id !== '{shown}'")
    raise AssertionError("no two answers say two sentences alike")


async def pages(tab: Tab, name: str, source: str, pictures: str) -> None:
    for kind, size, dark, zoom in (
        ("light", DESKTOP, False, 1),
        ("dark", DESKTOP, True, 1),
        ("phone", PHONE, False, 1),
        ("zoomed", DESKTOP, False, 2),
    ):
        await tab.look(size, dark, zoom)
        wide = await tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{name}, {kind}: the page scrolls sideways by {wide} px"
        if pictures:
            await tab.picture(Path(pictures) / f"{name}-{kind}.png")
        assert not await faults(tab, source), f"{name}, {kind}"
    await tab.look(DESKTOP, False)
