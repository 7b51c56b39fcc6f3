"""`anthropic` for Python: messages, streams, and tool runners, which keep their conversation at the server where they can."""

from typing import Literal

import anthropic
from harness import CHAT, HELLO, KEY, URL, WEATHER, checks_of, run

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=120)
ASKED = {"model": CHAT, "max_tokens": 60, "messages": HELLO}
TEMPERATURE = {"extra_body": {"temperature": 0}}  # which this SDK may not have any more


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


def check_stop():
    short = client.messages.create(**{**ASKED, "max_tokens": 4}, **TEMPERATURE)
    assert short.stop_reason == "max_tokens" and short.usage.output_tokens == 4, short
    text = short.content[0].text
    stopped = client.messages.create(**ASKED, **TEMPERATURE, stop_sequences=[text[-3:]])
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == text[-3:], stopped


def check_streamed_tool():
    asked = {**ASKED, "tools": [{"name": "get_weather", "input_schema": WEATHER}], "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}}
    with client.messages.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert "input_json" in kinds and message.stop_reason == "tool_use", message
    assert message.content[-1].input["city"] in ("Paris", "Oslo"), message


def runner(stream):
    made = client.beta.messages.tool_runner(**ASKED, tools=[get_weather], tool_choice={"type": "any", "disable_parallel_tool_use": True}, max_iterations=2, stream=stream)
    messages = [item.get_final_message() if stream else item for item in made]
    tokens = [message.usage.input_tokens + message.usage.cache_read_input_tokens for message in messages]
    assert len(messages) == 2 and tokens[1] > tokens[0] + 20, tokens


def check_tool_runner():
    runner(False)


def check_tool_runner_streamed():
    runner(True)


def conversation(**more):
    thread = client.beta.messages.thread(model=CHAT, max_tokens=8, **more)
    thread.send({"role": "user", "content": "My name is Ada."})
    usage = thread.send({"role": "user", "content": "What is my name?"}).usage
    assert usage.input_tokens + usage.cache_read_input_tokens > 50, usage


def check_conversation():
    conversation(unsupported_request_behavior="continue_unthreaded")


def check_conversation_kept_at_the_server():
    conversation()


def check_key_error():
    try:
        anthropic.Anthropic(base_url=URL, api_key="lar_wrong", max_retries=0).messages.create(**ASKED)
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error"
    else:
        raise AssertionError("a wrong key was taken")


def check_error():
    try:
        client.messages.create(**{**ASKED, "messages": [{"role": "user", "content": "word " * 20_000}]})
    except anthropic.BadRequestError as error:
        assert "prompt is too long: " in str(error)
    else:
        raise AssertionError("a prompt beyond the context was taken")


run("anthropic (Python)", "anthropic", checks_of(dict(globals())))
