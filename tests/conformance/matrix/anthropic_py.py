"""`anthropic` for Python: messages, streams and tool runners. Tool runners try to store their conversation on the server."""

from typing import Literal

import anthropic
from harness import CHAT, HELLO, KEY, URL, WEATHER, checks_of, run

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=120)
REQUEST = {"model": CHAT, "max_tokens": 60, "messages": HELLO}
TEMPERATURE = {"extra_body": {"temperature": 0}}  # newer versions of the SDK have no field for it


@anthropic.beta_tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city

    Args:
        city: The city
    """
    return "Sunny"


def check_message():
    assert client.messages.create(**REQUEST).content[0].text


def check_stream():
    with client.messages.stream(**REQUEST) as stream:
        assert "".join(stream.text_stream)


def check_stop():
    short = client.messages.create(**{**REQUEST, "max_tokens": 4}, **TEMPERATURE)
    assert short.stop_reason == "max_tokens" and short.usage.output_tokens == 4, short
    text = short.content[0].text
    stopped = client.messages.create(**REQUEST, **TEMPERATURE, stop_sequences=[text[-3:]])
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == text[-3:], stopped


def check_streamed_tool():
    request = {**REQUEST, "tools": [{"name": "get_weather", "input_schema": WEATHER}], "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}}
    with client.messages.stream(**request) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert "input_json" in kinds and message.stop_reason == "tool_use", message
    assert message.content[-1].input["city"] in ("Paris", "Oslo"), message


def run_tools(stream):
    runner = client.beta.messages.tool_runner(**REQUEST, tools=[get_weather], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_iterations=2, stream=stream)
    messages = [item.get_final_message() if stream else item for item in runner]
    tokens = [message.usage.input_tokens + message.usage.cache_read_input_tokens for message in messages]
    assert len(messages) == 2 and tokens[1] > tokens[0] + 20, tokens


def check_tool_runner():
    run_tools(False)


def check_tool_runner_streamed():
    run_tools(True)


def conversation(**more):
    thread = client.beta.messages.thread(model=CHAT, max_tokens=8, **more)
    thread.send({"role": "user", "content": "My name is Ada."})
    usage = thread.send({"role": "user", "content": "What is my name?"}).usage
    assert usage.input_tokens + usage.cache_read_input_tokens > 50, usage


def check_conversation():
    conversation(unsupported_request_behavior="continue_unthreaded")


def check_conversation_stored_on_the_server():
    conversation()


def check_key_error():
    try:
        anthropic.Anthropic(base_url=URL, api_key="lar_wrong", max_retries=0).messages.create(**REQUEST)
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error"
    else:
        raise AssertionError("a wrong key was accepted")


def check_error():
    try:
        client.messages.create(**{**REQUEST, "messages": [{"role": "user", "content": "word " * 20_000}]})
    except anthropic.BadRequestError as error:
        assert "prompt is too long: " in str(error)
    else:
        raise AssertionError("a prompt beyond the context was accepted")


run("anthropic (Python)", "anthropic", checks_of(dict(globals())))
