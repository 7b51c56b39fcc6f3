"""`openai` for Python, in a current and in an early version."""

import asyncio
import json

import openai
from harness import CHAT, EMBEDDER, HELLO, KEY, PERSON, URL, checks_of, run, tool

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=120)


def chat(**more):
    return client.chat.completions.create(**{"model": CHAT, "messages": HELLO, "max_tokens": 16, "temperature": 0, **more})


def check_chat():
    assert chat().choices[0].message.content


def check_chat_stream():
    whole = chat().choices[0].message.content
    parts = list(chat(stream=True, stream_options={"include_usage": True}))
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == whole
    assert parts[-1].usage.completion_tokens > 0


def check_finish_reasons():
    cut = chat(max_tokens=4).choices[0]
    assert cut.finish_reason == "length"
    stopped = chat(stop=[cut.message.content[-3:]]).choices[0]
    assert stopped.finish_reason == "stop" and cut.message.content[-3:] not in stopped.message.content, stopped


def check_streamed_tool():
    parts = list(chat(tools=[tool()], tool_choice={"type": "function", "function": {"name": "get_weather"}}, parallel_tool_calls=False, max_tokens=60, stream=True))
    deltas = [part.choices[0].delta.tool_calls[0] for part in parts if part.choices and part.choices[0].delta.tool_calls]
    assert deltas[0].id and deltas[0].function.name == "get_weather" and {delta.index for delta in deltas} == {0}
    assert json.loads("".join(delta.function.arguments or "" for delta in deltas))["city"] in ("Paris", "Oslo")
    # At OpenAI, a call of a named function has the finish reason `stop`, and a call of the model's choice `tool_calls`.
    assert parts[-1].choices[0].finish_reason in ("stop", "tool_calls"), parts[-1]


def check_text_parts_are_separated():
    one = [{"role": "user", "content": [{"type": "text", "text": "alpha"}, {"type": "text", "text": "bet"}]}]
    two = [{"role": "user", "content": "alpha\nbet"}]
    assert chat(messages=one).usage.prompt_tokens == chat(messages=two).usage.prompt_tokens


def check_forced_tool():
    answer = chat(tools=[tool()], tool_choice="required", max_tokens=60).choices[0]
    call = answer.message.tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments)["city"] in ("Paris", "Oslo")
    messages = HELLO + [answer.message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": call.id, "content": "Sunny"}]
    assert chat(messages=messages, tools=[tool()], tool_choice="none").choices[0].message.content


def check_tools_with_a_format():
    schema_format = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    message = chat(tools=[tool()], response_format=schema_format, max_tokens=120).choices[0].message
    assert message.tool_calls or set(json.loads(message.content)) == {"name", "age"}


def check_an_incomplete_call_in_the_history():
    call = {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": '{\n  "city": "'}}
    messages = HELLO + [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "a", "content": "bad JSON, again"}]
    assert chat(messages=messages, tools=[tool()], tool_choice="none").choices[0].message.content is not None


def check_json_schema():
    schema_format = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
    assert set(json.loads(chat(response_format=schema_format, max_tokens=120).choices[0].message.content)) == {"name", "age"}


def check_several_prompts():
    answer = client.completions.create(model=CHAT, prompt=["One", "Two"], max_tokens=3)
    assert [choice.index for choice in answer.choices] == [0, 1]


def check_embeddings():
    found = client.embeddings.create(model=EMBEDDER, input=["a", "b"])
    assert len(found.data) == 2 and len(found.data[0].embedding) == 384


def check_embeddings_of_token_ids():
    assert len(client.embeddings.create(model=EMBEDDER, input=[[9906, 1917]]).data) == 1


def check_embeddings_of_fewer_dimensions():
    assert len(client.embeddings.create(model=EMBEDDER, input="a", dimensions=64).data[0].embedding) == 64


def check_picture():
    # One black pixel.
    pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
    parts = [{"type": "text", "text": "Which colour is this?"}, {"type": "image_url", "image_url": {"url": pixel}}]
    assert chat(messages=[{"role": "user", "content": parts}]).choices[0].message.content


def check_models():
    assert "smollm2-135m-instruct" in [model.id for model in client.models.list()]


def check_key_error():
    try:
        openai.OpenAI(base_url=URL + "/v1", api_key="lar_wrong", max_retries=0).models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
    else:
        raise AssertionError("a wrong key was accepted")


def check_model_error():
    try:
        chat(model="gpt-of-nowhere")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
    else:
        raise AssertionError("an unknown model was accepted")


def check_async():
    async def ask():
        async with openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY) as own:
            return await own.chat.completions.create(model=CHAT, messages=HELLO, max_tokens=4)

    assert asyncio.run(ask()).choices


if hasattr(client, "responses"):  # the early version has none

    def check_responses():
        first = client.responses.create(model=CHAT, input="My name is Ada.", max_output_tokens=16)
        second = client.responses.create(model=CHAT, input="And now?", previous_response_id=first.id, max_output_tokens=16)
        assert second.output_text and second.usage.input_tokens > first.usage.input_tokens

    def check_conversation():
        stored = client.conversations.create()
        request = {"model": CHAT, "max_output_tokens": 16, "conversation": stored.id}
        first = client.responses.create(**request, input="My name is Ada.")
        second = client.responses.create(**request, input="And now?")
        assert second.usage.input_tokens > first.usage.input_tokens, second.usage

    def check_responses_stream():
        with client.responses.stream(model=CHAT, input="Say hello.", max_output_tokens=16) as stream:
            events = list(stream)
        assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete"), events
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert text and events[-1].response.output_text == text, events[-1]

    def check_responses_tool():
        tools = [{"type": "function", "name": "find_person", "parameters": PERSON, "strict": True}]
        request = {"model": CHAT, "tools": tools, "max_output_tokens": 120, "parallel_tool_calls": False, "temperature": 0}
        first = client.responses.create(**request, input="Ada is 36 years old.", tool_choice="required")
        call = first.output[-1]
        assert call.type == "function_call" and set(json.loads(call.arguments)) == {"name", "age"}, first.output
        result = [{"type": "function_call_output", "call_id": call.call_id, "output": "She is a mathematician."}]
        second = client.responses.create(**request, input=result, previous_response_id=first.id, tool_choice="none")
        assert second.output_text and second.previous_response_id == first.id, second


run("openai (Python)", "openai", checks_of(dict(globals())))
