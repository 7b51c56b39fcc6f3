"""`openai` for Python, a current and an early version of its API."""

import asyncio
import json
from importlib.metadata import version

import openai
from harness import CHAT, EMBEDDER, HELLO, KEY, PERSON, URL, checks_of, run, tool

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=120)
NOT_EARLY = int(version("openai").split(".")[0]) > 1


def chat(**more):
    return client.chat.completions.create(**{"model": CHAT, "messages": HELLO, "max_tokens": 16, "temperature": 0, **more})


def check_chat():
    assert chat().choices[0].message.content


def check_chat_stream():
    whole = chat().choices[0].message.content
    parts = list(chat(stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == whole
    assert parts[-1].usage.completion_tokens > 0


def check_parts_are_told_apart():
    one = [{"role": "user", "content": [{"type": "text", "text": "alpha"}, {"type": "text", "text": "bet"}]}]
    two = [{"role": "user", "content": "alpha\nbet"}]
    assert chat(messages=one).usage.prompt_tokens == chat(messages=two).usage.prompt_tokens


def check_forced_tool():
    answer = chat(tools=[tool()], tool_choice="required", max_tokens=60).choices[0]
    call = answer.message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Oslo")
    said = HELLO + [answer.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    assert chat(messages=said, tools=[tool()], tool_choice="none").choices[0].message.content


def check_tools_with_a_format():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    message = chat(tools=[tool()], response_format=form, max_tokens=120).choices[0].message
    assert message.tool_calls or set(json.loads(message.content)) == {"name", "age"}


def check_a_call_that_was_cut_is_taken_back():
    call = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{\n  "city": "'}}
    said = HELLO + [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "bad JSON, again"}]
    assert chat(messages=said, tools=[tool()], tool_choice="none").choices[0].message.content is not None


def check_json_schema():
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    assert set(json.loads(chat(response_format=form, max_tokens=120).choices[0].message.content)) == {"name", "age"}


def check_several_prompts():
    answer = client.completions.create(model=CHAT, prompt=["One", "Two"], max_tokens=3)
    assert [choice.index for choice in answer.choices] == [0, 1]


def check_embeddings():
    found = client.embeddings.create(model=EMBEDDER, input=["a", "b"])
    assert len(found.data) == 2 and len(found.data[0].embedding) == 384


def check_responses():
    if NOT_EARLY:
        first = client.responses.create(model=CHAT, input="My name is Ada.", max_output_tokens=16)
        second = client.responses.create(model=CHAT, input="And now?", previous_response_id=first.id, max_output_tokens=16)
        assert second.output_text and second.usage.input_tokens > first.usage.input_tokens


def check_models():
    assert "smollm2-135m-instruct" in [model.id for model in client.models.list()]


def check_key_error():
    try:
        openai.OpenAI(base_url=URL + "/v1", api_key="lar_wrong", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    else:
        raise AssertionError("a wrong key was taken")


def check_model_error():
    try:
        chat(model="gpt-of-nowhere")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    else:
        raise AssertionError("an unknown model was taken")


def check_async():
    async def ask():
        async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY) as own:
            return await own.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4)

    assert asyncio.run(ask()).choices


run(f"openai Python {version('openai')}", checks_of(dict(globals())))
