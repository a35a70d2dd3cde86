"""A coding agent asks what fails and what worked, by the official SDK's own client over standard streams."""

import asyncio
import json
import os
import sys

import pytest

from fl_assets.cli import mcp_server
from fl_assets.cli.application import CommandError
from fl_assets_tests.conftest import LAST_DAY

sdk = pytest.importorskip("mcp", reason="the extra [mcp] is not installed")

TOOLS = ["patterns", "pattern", "playbooks", "playbook", "decisions", "outcomes"]


@pytest.fixture(scope="module")
def environment(learned):
    settings = {
        f"FEDERATED_LEARNING_{name.upper()}": ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in learned.config.model_dump().items()
        if value is not None
    }
    return dict(os.environ) | settings | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def told(environment):
    """What one conversation with the server gives: its tools, then an answer of each."""

    async def talk():
        from mcp.client.client import Client
        from mcp.client.stdio import StdioServerParameters

        command = ["-W", "ignore", "-m", "fl_assets.cli", "mcp"]
        started = StdioServerParameters(command=sys.executable, args=command, env=environment)
        async with Client(started, read_timeout_seconds=120) as client:

            async def ask(tool, **arguments):
                answer = await client.call_tool(tool, arguments)
                return answer.is_error, "".join(part.text for part in answer.content)

            tools = (await client.list_tools()).tools
            answers = {name: await ask(name) for name in ("patterns", "playbooks", "decisions", "outcomes")}
            found = {name: json.loads(text) for name, (_, text) in answers.items()}
            pattern_id = found["patterns"]["patterns"][0]["pattern_id"]
            playbook_id = found["playbooks"]["playbooks"][0]["improvement_id"]
            answers["pattern"] = await ask("pattern", pattern_id=pattern_id)
            answers["playbook"] = await ask("playbook", playbook_id=playbook_id[:8], day=str(LAST_DAY))
            answers["unknown"] = await ask("pattern", pattern_id="p-none")
            answers["no day"] = await ask("playbooks", day="tomorrow")
            answers["other day"] = await ask("playbooks", day="1999-01-01")
            return tools, answers

    return asyncio.run(talk())


def test_every_tool_only_reads(told):
    tools, _ = told
    assert [tool.name for tool in tools] == TOOLS
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert all(tool.description for tool in tools)


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_answers_with_what_the_day_has(told, name):
    is_error, text = told[1][name]
    assert not is_error, text
    content = json.loads(text)
    assert content["day"] == str(LAST_DAY)
    assert name in content
    if name in ("patterns", "playbooks", "decisions"):
        assert content[name]


def test_a_pattern_has_its_examples_and_telemetry_stands_apart(told):
    content = json.loads(told[1]["pattern"][1])
    assert content["pattern"]["telemetry"]["template"]
    assert "template" not in content["pattern"]
    examples = [one for book in content["playbooks"] for one in book["advice"]["examples"]]
    assert examples
    assert all({"message", "method"} <= set(one["telemetry"]) for one in examples)


def test_what_is_not_there_is_an_error_that_says_so(told):
    is_error, text = told[1]["unknown"]
    assert is_error
    assert "0 begin with 'p-none'" in text
    is_error, text = told[1]["no day"]
    assert is_error
    assert "day='tomorrow': must be YYYY-MM-DD" in text
    is_error, text = told[1]["other day"]
    assert is_error
    assert "1999-01-01 has not been analysed" in text


def test_without_the_extra_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr(mcp_server, "find_spec", lambda _: None)
    with pytest.raises(CommandError, match=r"pip install 'fl_assets\[mcp\]'"):
        mcp_server.mcp()
