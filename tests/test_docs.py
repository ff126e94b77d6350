"""The docs are tested: whatever they name exists, and whatever exists is named. README.md, CONTRIBUTING.md, docs/*.md and
the README of each service; what a sentence means is for people to check."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from click import Parameter
from typer.main import get_command

from concord import cli
from concord.client.results.export import FORMATS
from concord.client.run.options import Options, resolve
from concord.kit.log import topics
from concord.kit.settings import Settings
from concord.preference import annotations
from concord.preference.methods import METHODS
from concord.preference.pairs import make_pair
from concord.runs import plan
from concord.triage import dataset
from concord.v1 import (
    labeling_service_pb2,
    runs_service_pb2,
    scoring_service_pb2,
    tasks_service_pb2,
    training_service_pb2,
    triage_service_pb2,
)
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage, StageManifest
from concord.v1.pairs_pb2 import Message, Response
from concord.wiring import SERVICES
from tests.test_imports import MAY_KNOW

ROOT = Path(__file__).parent.parent
CODE = ROOT / "services"
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
README = (ROOT / "README.md").read_text()
# What the user's pages say is held to what there is; so is CONTRIBUTING, which names commands and files as well.
USERS = {"README.md": README, **PAGES}
SAID = {**USERS, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text()}
OWN = {name: (CODE / name / "README.md").read_text() for name in SERVICES}
EVERYWHERE = {**SAID, **{f"services/{name}/README.md": text for name, text in OWN.items()}}
LINKED = {
    **EVERYWHERE,
    **{
        name: (ROOT / name).read_text()
        for name in ("deploy/README.md", "deploy/kafka/README.md", "benchmarks/README.md")
    },
}
WHOLE = "\n".join(USERS.values())
# A placeholder of the recipes, not a name.
PLACEHOLDER = "NAME"

COMMANDS = get_command(cli.app).commands
CONTRACT = {
    "runs": runs_service_pb2,
    "tasks": tasks_service_pb2,
    "labeling": labeling_service_pb2,
    "scoring": scoring_service_pb2,
    "triage": triage_service_pb2,
    "training": training_service_pb2,
}
WORK_TOPIC = {"labeling": topics.LABEL, "scoring": topics.SCORE, "triage": topics.TRIAGE, "training": topics.TRAIN}
FACT_NAMES = {field.message_type.name for field in Event.DESCRIPTOR.oneofs_by_name["kind"].fields}


def section(page: str, heading: str) -> str:
    """What stands below a heading of a page, up to the next one of its level."""
    level = re.search(rf"^(#+) {re.escape(heading)}$", page, re.M)
    assert level, f"no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level[1])}}} ", page[level.end() :], maxsplit=1, flags=re.M)[0]


def first_cells(text: str) -> list[str]:
    """The code names in the first column of the tables of a text."""
    cells = re.findall(r"^\| ([^|]*) \|", text, re.M)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def params_of(command: str) -> list[Parameter]:
    """The parameters of a command, and of those below it."""
    found = COMMANDS[command]
    return [*found.params, *(param for below in getattr(found, "commands", {}).values() for param in below.params)]


def flags_of(command: str) -> set[str]:
    return {flag for param in params_of(command) for flag in param.opts if flag.startswith("--")}


def shell_lines(text: str) -> Iterator[str]:
    """The lines of the shell blocks, those that go on with a backslash joined."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        yield from block.replace("\\\n", " ").splitlines()


def concord_calls(text: str) -> Iterator[tuple[str, set[str]]]:
    """(command, flags) of each call of concord in a page, in shell blocks and in code within sentences."""
    for line in (*shell_lines(text), *re.findall(r"`(concord [^`]+)`", text)):
        said = line.split(" #")[0]
        if call := re.match(r"(?:\.venv/bin/)?concord ([a-z]+)", said.strip()):
            yield call[1], set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_docs_and_has_help(name):
    assert f"concord {name}" in WHOLE or re.search(rf"concord \w+ .*#.*\b{name}\b", WHOLE), name
    assert COMMANDS[name].help


@pytest.mark.parametrize("page", SAID)
def test_every_call_of_concord_in_the_docs_is_one_that_it_takes(page):
    for command, flags in concord_calls(SAID[page]):
        assert command in COMMANDS, f"{page}: concord {command}"
        assert flags <= flags_of(command), f"{page}: concord {command} does not take {flags - flags_of(command)}"


def test_every_flag_is_in_the_docs_and_every_flag_there_exists():
    known = {flag for command in COMMANDS for flag in flags_of(command)} | {"--version"}
    # Of a switch that can be turned either way the docs may name the way that is not the default.
    switches = [param for command in COMMANDS for param in params_of(command) if param.secondary_opts]
    hidden = {flag for name in COMMANDS for param in params_of(name) if param.hidden for flag in param.opts}
    others = re.compile(r"^.*(?:docker compose|kubectl|torchrun) .*$", re.M)
    own = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", others.sub("", WHOLE))) - {"--help"}
    off = {flag for switch in switches for flag in switch.secondary_opts}
    said = own | {flag for switch in switches if own & set(switch.secondary_opts) for flag in switch.opts}
    assert own <= known | off, own - known - off
    assert known - hidden <= said, known - hidden - said
    assert not hidden & own, "a flag that is on its way out is not advertised"


def test_every_setting_of_a_process_is_in_its_table_with_its_default_and_no_other():
    table = dict(re.findall(r"^\| `CONCORD_(\w+)` \| ([^|]*) \|", PAGES["docs/settings.md"], re.M))
    settings = {field.name.upper(): field.default for field in fields(Settings)}
    assert set(table) == set(settings)
    for name, default in settings.items():
        if default not in ("",):
            shown = table[name].strip().strip("`")
            assert shown == (f"{default:g}" if isinstance(default, float) else str(default)), name


def test_every_variable_that_the_docs_name_is_a_setting():
    known = {field.name.upper() for field in fields(Settings)} | {"DATA"}  # the tests' own
    for page, text in EVERYWHERE.items():
        named = set(re.findall(r"CONCORD_([A-Z_]+[A-Z])", text))
        assert named <= known, f"{page}: {named - known}"


def test_every_setting_of_a_run_is_in_its_table_with_default_and_flag_and_no_other():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| (yes)? *\|", section(PAGES["docs/settings.md"], "Of a run"), re.M)
    table = {name: (default.strip().strip("`"), flag == "yes") for name, default, flag in rows}
    defaults = {field.name: field.default for field in fields(Options)}
    assert set(table) == set(defaults)
    for name, default in defaults.items():
        assert table[name][0] == _shown(default), name
        assert table[name][1] == ("--" + name.replace("_", "-") in flags_of("run")), name


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ", ".join(map(_shown, default))
    return (
        str(default).lower()
        if isinstance(default, bool)
        else f"{default:g}"
        if isinstance(default, float)
        else str(default)
    )


def test_every_exit_code_is_in_its_table_and_no_other():
    codes = set(re.findall(r"^\| (\d+) \|", section(PAGES["docs/settings.md"], "Exit codes"), re.M))
    assert codes == set(re.findall(r"(?:^|: | · )(\d+) ", (cli.__doc__ or "").replace("\n", " ")))


def test_every_service_has_its_row_and_its_work_topic():
    rows = re.findall(r"^\| \[`(\w+)`\]\S+ \| [^|]+ \| ([^|]+) \|", PAGES["docs/cluster.md"], re.M)
    wanted = {name: f"`{WORK_TOPIC[name].name}`" if name in WORK_TOPIC else "facts" for name in SERVICES}
    assert {name: topic.strip() for name, topic in rows} == wanted
    assert all(f"`{name}`" in README for name in SERVICES)


def test_every_method_is_explained_and_no_other():
    table = first_cells(PAGES["docs/methods.md"].split("\n## ")[0])
    assert table == list(METHODS)


def test_every_stage_is_explained_and_no_other():
    """A stage of the contract stands in the table, or among those that no plan has yet."""
    stages = section(PAGES["docs/methods.md"], "The stages")
    later = set(re.findall(r"`([A-Z_]+)`", stages.split("no plan has yet")[1]))
    known = {name.removeprefix("STAGE_") for name in Stage.DESCRIPTOR.values_by_name} - {"UNSPECIFIED"}
    done = [name for name in first_cells(stages) if name.isupper()]
    assert set(done) | later == known and not set(done) & later


def test_the_stages_of_the_table_are_those_that_some_method_has():
    planned = set()
    for name in METHODS:
        config = RunConfig(
            method=name, quorum=1, pilot=-1, folds=4, batch_share=0.01, people_teach=True, select="easy", policy="x"
        )
        config.evaluate = config.evaluate_votes = 8
        config.generators.add()
        planned |= {Stage.Name(stage).removeprefix("STAGE_") for stage, _ in plan.stages(config, 1_000, 100)}
    table = first_cells(section(PAGES["docs/methods.md"], "The stages"))
    assert planned == {name for name in table if name.isupper()}


def test_every_fact_is_in_the_table_of_facts_and_no_other():
    facts = section(PAGES["docs/architecture.md"], "The facts")
    assert set(re.findall(r"`([A-Z]\w+)`", facts)) == FACT_NAMES


def test_every_export_format_is_explained_and_no_other():
    table = first_cells(section(PAGES["docs/formats.md"], "Export"))
    assert table == list(FORMATS)
    assert all(re.search(rf"\b{name}\b", README) for name in FORMATS)


def test_every_column_of_the_dataset_is_explained_and_no_other():
    pair = make_pair("a", [Message(role="user", content="?")], Response(text="yes"), Response(text="no"))
    believed = dataset.beliefs(StageManifest(), None, annotations.read([], ()), 1)
    (row,) = dataset.rows([pair], believed, 2.0)
    table = section(PAGES["docs/formats.md"], "The dataset").split("| `source` | |")[0]
    assert first_cells(table) == list(row)


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_readme_names_exactly_its_rpcs(name):
    (service,) = CONTRACT[name].DESCRIPTOR.services_by_name.values()
    named = first_cells(OWN[name].split("**RPCs**")[1].split("| topic in")[0])
    assert sorted(named) == sorted(method.name for method in service.methods)
    assert f"`{service.name}`" in OWN[name]


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_readme_names_its_topics_its_image_and_how_it_scales(name):
    text = OWN[name]
    topic_in = re.search(r"^\| topic in \| `([^`]+)`, as group `(\w+)`", text, re.M)
    assert topic_in and topic_in.groups() == (WORK_TOPIC.get(name, topics.FACTS).name, name)
    topics_out = set(re.findall(r"`(concord\.[^`]+)`", re.search(r"^\| topics? out \|.*$", text, re.M)[0]))
    works = {topic.name for topic in WORK_TOPIC.values()} if name == "runs" else set()
    assert topics_out == {topics.FACTS.name} | works
    assert re.search(rf"^FROM \w+ AS {name}$", (ROOT / "deploy" / "Dockerfile").read_text(), re.M)
    assert f"target `{name}`" in text and f"`python -m concord {name}`" in text
    if name in WORK_TOPIC:
        scaled = yaml.safe_load((ROOT / "k8s" / "components" / "keda" / f"{name}.yaml").read_text())
        threshold = scaled["spec"]["triggers"][0]["metadata"]["targetValue"]
        assert f"a replica for {threshold} units" in text or (threshold == "1" and "a replica a unit" in text)


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_readme_lists_exactly_its_modules_and_is_one_screen(name):
    named = first_cells(OWN[name].split("**Modules, in reading order**")[1])
    assert sorted(named) == sorted(path.name for path in (CODE / name).glob("*.py") if path.name != "__init__.py")
    assert len(OWN[name].splitlines()) <= 50


@pytest.mark.parametrize("name", SERVICES)
def test_a_services_readme_links_to_nothing_that_a_wheel_lacks(name):
    for target in re.findall(r"\]\(([^)#]+)", OWN[name]):
        assert (CODE / name / target).resolve().is_relative_to(CODE), target


def test_the_folder_map_lists_exactly_the_folders_that_there_are():
    found = {
        folder.relative_to(CODE).as_posix()
        for folder in CODE.rglob("*")
        if folder.is_dir() and not {"__pycache__", "v1"} & set(folder.relative_to(CODE).parts)
    }
    assert set(first_cells(section(PAGES["docs/architecture.md"], "The folders"))) == found | {"services/"}


def test_the_folder_map_says_whom_a_room_may_know_as_the_import_test_does():
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", section(PAGES["docs/architecture.md"], "The folders"), re.M
    )
    told = {name: set(re.findall(r"`(\w+)`", known)) for name, known in rows if "everybody" not in known}
    for name, known in told.items():
        extra = set(SERVICES) if "every service" in dict(rows)[name] else set()
        assert known | extra == MAY_KNOW[name], name
    assert set(told) == set(MAY_KNOW) - {"__init__"}


def test_every_module_of_the_glossary_exists():
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (`[^|]+`) \|", PAGES["docs/glossary.md"], re.M)
    words = [word for word, _ in rows]
    assert len(words) > 80 and len(set(words)) == len(words)
    for word, places in rows:
        for place in re.findall(r"`([^`]+)`", places):
            assert (CODE / place).is_file(), f"{word}: {place}"


@pytest.mark.parametrize("page", EVERYWHERE)
def test_every_file_that_the_docs_name_exists(page):
    """A path in code is one from the root, from services/, or from the page's own folder."""
    own = (ROOT / page).parent
    for name in re.findall(r"`([\w./-]+\.(?:py|proto|yaml|md|json|binpb))`", EVERYWHERE[page]):
        if PLACEHOLDER in name or "/" not in name:
            continue
        assert any((folder / name).exists() for folder in (ROOT, CODE, own)), f"{page}: {name}"


@pytest.mark.parametrize("page", EVERYWHERE)
def test_every_message_and_class_that_the_docs_name_exists(page):
    """Names of several capitals, such as RunConfig: of the contract or of the code."""
    sources = [path.read_text() for kind in ("services/**/*.py", "protos/**/*.proto") for path in ROOT.glob(kind)]
    whole = "\n".join(sources)
    for name in set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", EVERYWHERE[page])):
        assert re.search(rf"\b{name}\b", whole), f"{page}: {name}"


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page have on GitHub."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", plain, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page):
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", LINKED[page]):
        file, _, anchor = unquote(target).partition("#")
        there = (ROOT / page).parent / file if file else ROOT / page
        assert there.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{page}: {target}"


def test_every_page_can_be_reached_from_the_readme():
    for page in PAGES:
        assert f"]({page})" in README, page


def test_the_readme_fits_a_few_screens():
    assert len(README.splitlines()) <= 170


def test_the_example_settings_are_accepted_as_they_stand():
    given = yaml.safe_load((ROOT / "examples" / "run.yaml").read_text())
    assert resolve({}, given) == Options(judge="recorded:GPT-4")


@pytest.mark.parametrize("page", EVERYWHERE)
def test_every_word_of_make_in_the_docs_exists(page):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    said = {
        *re.findall(r"`make ([a-z][\w-]*)", EVERYWHERE[page]),
        *re.findall(r"^make ([a-z][\w-]*)", "\n".join(shell_lines(EVERYWHERE[page])), re.M),
    }
    assert said <= targets, said - targets


def test_a_virtual_environment_that_came_half_way_is_made_again(tmp_path):
    """As on Debian without python3-venv: the interpreter is there, pip is not."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\nmkdir -p "$3/bin" && touch "$3/bin/python"; exit 1\n')
    python.chmod(0o755)
    for _ in range(2):
        made = subprocess.run(
            ["make", "-f", ROOT / "Makefile", ".venv/bin/python", f"PYTHON={python}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert made.returncode != 0
        assert "apt-get install python3-venv" in made.stdout
        assert not (tmp_path / ".venv/bin/python").exists()


def test_every_fact_and_every_stage_is_explained_in_the_contract():
    """Each message of the catalogue stands below a comment; so does each stage that is not plain from its name."""
    text = (ROOT / "protos/concord/v1/events.proto").read_text()
    for field in Event.DESCRIPTOR.oneofs_by_name["kind"].fields:
        assert re.search(rf"^// .+\nmessage {field.message_type.name} ", text, re.M), field.message_type.name
    assert len(Stage.keys()) == 21


def test_the_tree_holds_what_was_written_and_nothing_that_was_installed_or_fetched():
    """In a clone; a folder that is no repository holds what its archive had."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = [name for name in listed.stdout.split("\0") if name]
    assert not [name for name in names if re.match(r"\.venv|\.tools/|.*node_modules/|.*\.(whl|so|jar|zip)$", name)]
    assert not [name for name in names if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 1_000_000]
