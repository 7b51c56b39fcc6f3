"""`anthropic` for Python: messages, streams, and tool runners, which keep their conversation at the server where they can."""

from importlib.metadata import version
from typing import Literal

import anthropic
from harness import CHAT, HELLO, KEY, URL, checks_of, run

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=120)
ASKED = {"model": CHAT, "max_tokens": 60, "messages": HELLO}


@anthropic.beta_tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city

    Args:
        city: The city
    """
    return "Sunny"


def check_message():
    assert client.messages.create(**ASKED).content[0].text


def check_stream():
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream)


def runner(stream):
    made = client.beta.messages.tool_runner(**ASKED, tools=[get_weather], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_iterations=2, stream=stream)
    messages = [item.get_final_message() if stream else item for item in made]
    tokens = [message.usage.input_tokens + message.usage.cache_read_input_tokens for message in messages]
    assert len(messages) == 2 and tokens[1] > tokens[0] + 20, tokens


def check_tool_runner():
    runner(False)


def check_tool_runner_streamed():
    runner(True)


def check_conversation():
    thread = client.beta.messages.thread(model=CHAT, max_tokens=8, unsupported_request_behavior="continue_unthreaded")
    thread.send({"role": "user", "content": "My name is Ada."})
    usage = thread.send({"role": "user", "content": "What is my name?"}).usage
    assert usage.input_tokens + usage.cache_read_input_tokens > 50, usage


def check_error():
    try:
        client.messages.create(**{**ASKED, "messages": [{"role": "user", "content": "word " * 20_000}]})
    except anthropic.BadRequestError as error:
        assert "prompt is too long: " in str(error)
    else:
        raise AssertionError("a prompt beyond the context was taken")


run(f"anthropic Python {version('anthropic')}", checks_of(dict(globals())))
