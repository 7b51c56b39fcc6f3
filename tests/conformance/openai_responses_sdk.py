"""Tests the Responses API of a real Lar with OpenAI's unmodified client. run.sh runs this script."""

import json
import os
import time

import openai
from pydantic import BaseModel

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
responses = client.responses


def refused(kind, *parts, **request):
    try:
        responses.create(**{"model": "default", "input": "Hi", **request})
    except kind as error:
        for part in parts:
            assert part in str(error), (part, str(error))
        return error
    raise AssertionError(f"not rejected: {request}")


def create_and_retrieve():
    response = responses.create(
        model="default", instructions="Answer briefly.", input="Name a colour.", max_output_tokens=24,
        metadata={"of": "a test"}, temperature=0,
    )
    assert response.id.startswith("resp_") and response.object == "response" and response.output_text
    assert response.status in ("completed", "incomplete") and response.metadata == {"of": "a test"}
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response.usage.output_tokens <= 24 and response.instructions == "Answer briefly."
    again = responses.retrieve(response.id)
    assert again.output_text == response.output_text and again.usage == response.usage
    items = list(responses.input_items.list(response.id))
    assert [item.role for item in items] == ["user"] and items[0].id
    cut = responses.create(model="default", input="Count to a hundred.", max_output_tokens=3)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"


def chains():
    first = responses.create(model="default", input="My dog is called Fido.", max_output_tokens=16)
    second = responses.create(
        model="default", previous_response_id=first.id, input="And my cat is called Tom.", max_output_tokens=16
    )
    counted = responses.input_tokens.count(model="default", previous_response_id=second.id, input="Who is Fido?")
    alone = responses.input_tokens.count(model="default", input="Who is Fido?")
    before = first.usage.output_tokens + second.usage.output_tokens
    assert counted.input_tokens > alone.input_tokens + before, (counted, alone)
    third = responses.create(
        model="default", previous_response_id=second.id, input="Who is Fido?", max_output_tokens=16
    )
    assert third.usage.input_tokens == counted.input_tokens and third.previous_response_id == second.id
    unstored = responses.create(model="default", input="Hi", store=False, max_output_tokens=4)
    refused(openai.NotFoundError, "a stored response of this key", previous_response_id=unstored.id)
    responses.delete(first.id)
    refused(openai.NotFoundError, first.id, previous_response_id=second.id)
    try:
        responses.retrieve(first.id)
        raise AssertionError("a deleted response was found")
    except openai.NotFoundError:
        pass


def streams():
    with responses.stream(model="default", input="Say hello.", max_output_tokens=12) as stream:
        seen = [(event.type, event.sequence_number) for event in stream]
        final = stream.get_final_response() if seen[-1][0] == "response.completed" else None
    kinds = [kind for kind, _ in seen]
    assert [number for _, number in seen] == list(range(len(seen))), seen
    assert kinds[0] == "response.created" and "response.in_progress" in kinds
    for kind in ("output_item.added", "content_part.added", "output_text.delta", "output_text.done",
                 "content_part.done", "output_item.done"):
        assert f"response.{kind}" in kinds, (kind, kinds)
    assert kinds[-1] in ("response.completed", "response.incomplete")
    if final:
        assert responses.retrieve(final.id).output_text == final.output_text
    text, last = "", None
    for event in responses.create(model="default", input="Say hello.", max_output_tokens=12, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    assert last.response.output_text == text
    assert responses.retrieve(last.response.id).output_text == text, "the response was not stored when its stream ended"


WEATHER = {
    "type": "function", "name": "get_weather", "description": "The weather of a city.", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
                   "required": ["city"], "additionalProperties": False},
}


def tools():
    question = [{"role": "user", "content": [{"type": "input_text", "text": "What is the weather in Oslo?"}]}]
    response = responses.create(model="default", input=question, tools=[WEATHER, {"type": "web_search"}],
                            tool_choice="required", parallel_tool_calls=False)
    (call,) = response.output
    assert call.type == "function_call" and call.name == "get_weather", response.output
    assert json.loads(call.arguments)["city"] in ("Oslo", "Rome")
    raw = responses.with_raw_response.create(
        model="default", input="Hi", max_output_tokens=2, tools=[{"type": "web_search"}], user="u"
    )
    assert raw.headers["x-lar-ignored"] == "user, tools.web_search", raw.headers["x-lar-ignored"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain, 7 degrees."}
    after = responses.create(model="default", previous_response_id=response.id, input=[result], max_output_tokens=24)
    assert after.output_text
    by_hand = responses.create(
        model="default", input=[*question, call.model_dump(exclude_none=True), result], store=False,
        max_output_tokens=24, temperature=0,
    )
    assert by_hand.usage.input_tokens == after.usage.input_tokens
    refused(openai.BadRequestError, "call_id", input=[result])
    refused(openai.BadRequestError, "call_id", input=[*question, result, call.model_dump(exclude_none=True)])

    kinds, arguments = [], ""
    for event in responses.create(model="default", input=question, tools=[WEATHER], tool_choice="required", stream=True):
        kinds.append(event.type)
        if event.type == "response.function_call_arguments.delta":
            arguments += event.delta
        elif event.type == "response.function_call_arguments.done":
            assert event.arguments == arguments
            arguments = ""
    assert "response.function_call_arguments.done" in kinds and kinds[-1] == "response.completed", kinds

    shell = {"type": "custom", "name": "shell", "description": "Runs a line in the shell."}
    spaced = {"type": "namespace", "name": "home", "description": "The house.",
              "tools": [{**WEATHER, "name": "lamp"}]}
    response = responses.create(model="default", input="List the files here.", tools=[shell, spaced],
                            tool_choice={"type": "custom", "name": "shell"}, max_output_tokens=64)
    assert response.output[0].type == "custom_tool_call" and response.output[0].name == "shell"
    response = responses.create(
        model="default", input="Light the lamp.", tools=[shell, spaced],
        tool_choice={"type": "allowed_tools", "mode": "required",
                     "tools": [{"type": "function", "name": "lamp", "namespace": "home"}]},
    )
    assert (response.output[0].name, response.output[0].namespace) == ("lamp", "home"), response.output


class Pet(BaseModel):
    name: str
    legs: int


def structure():
    response = responses.parse(model="default", input="A dog called Fido.", text_format=Pet)
    assert isinstance(response.output_parsed, Pet), response.output_text
    likely = responses.create(model="default", input="Hi", max_output_tokens=3, top_logprobs=2,
                              include=["message.output_text.logprobs"])
    logprobs = likely.output[0].content[0].logprobs
    assert logprobs and all(len(token.top_logprobs) == 2 for token in logprobs)


def background():
    response = responses.create(model="default", input="Say hello.", background=True, max_output_tokens=12)
    assert response.status in ("queued", "in_progress") and response.background
    for _ in range(600):
        now = responses.retrieve(response.id)
        if now.status not in ("queued", "in_progress"):
            break
        time.sleep(0.05)
    assert now.status in ("completed", "incomplete") and now.output_text
    all_events = list(responses.retrieve(response.id, stream=True))
    assert all_events[-1].response.output_text == now.output_text
    rest = list(responses.retrieve(response.id, stream=True, starting_after=3))
    assert [event.sequence_number for event in rest] == [event.sequence_number for event in all_events[4:]]
    assert responses.cancel(response.id).status == now.status, "cancelling a finished response changed it"

    long = responses.create(model="default", input="Tell a very long story.", background=True,
                            max_output_tokens=4000)
    stopped = responses.cancel(long.id)
    assert stopped.status == "cancelled", stopped.status
    assert responses.retrieve(long.id).status == "cancelled"
    waited = responses.create(model="default", input="Hi", max_output_tokens=2)
    try:
        responses.cancel(waited.id)
        raise AssertionError("a response that does not run in the background was cancelled")
    except openai.BadRequestError as error:
        assert "background" in str(error)


def bad_input():
    refused(openai.BadRequestError, "input", input=[])
    refused(openai.BadRequestError, "input[0].content", input=[{"role": "user", "content": []}])
    refused(openai.BadRequestError, "input[1]", input=[{"role": "user", "content": "x"}, "y"])
    refused(openai.BadRequestError, "input[0].content", input=[{"role": "user", "content": 7}])
    refused(openai.BadRequestError, "input[0].role", input=[{"role": "robot", "content": "x"}])
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    refused(openai.BadRequestError, "reads text only", input=[{"role": "user", "content": [picture]}])
    refused(openai.NotFoundError, "not an item of a stored response", input=[{"type": "item_reference", "id": "msg_1"}])
    refused(openai.BadRequestError, "computer_call", input=[{"type": "computer_call", "call_id": "c"}])
    refused(openai.BadRequestError, "conversation", conversation="conv_1")
    refused(openai.BadRequestError, "truncation", truncation="sometimes")
    refused(openai.BadRequestError, "background", background=True, store=False)
    refused(openai.BadRequestError, "temperature", temperature=3)
    refused(openai.BadRequestError, "metadata", metadata={"a": "x" * 600})
    refused(openai.BadRequestError, "top_logprobs", top_logprobs=3)
    refused(openai.BadRequestError, "tool_choice", tools=[WEATHER], tool_choice={"type": "function", "name": "x"})
    refused(openai.NotFoundError, "resp_x", previous_response_id="resp_x")
    gone = refused(openai.NotFoundError, "gpt-99", model="gpt-99")
    assert gone.code == "model_not_found"
    long = refused(openai.BadRequestError, input="word " * 64_000)
    assert long.code == "context_length_exceeded", long.code
    unknown = responses.with_raw_response.create(
        model="default", input="Hi", max_output_tokens=2, extra_body={"made_up": 1}
    )
    assert unknown.headers["x-lar-ignored"] == "made_up"


def disconnect():
    with responses.create(model="default", input="Tell a very long story.", stream=True) as stream:
        next(iter(stream))
    # Another request soon gets the slot, because the first one was cancelled.
    assert responses.create(model="default", input="Hi", max_output_tokens=2).output_text is not None


for check in (create_and_retrieve, chains, streams, tools, structure, background, bad_input, disconnect):
    check()
    print(f"openai {openai.__version__} responses: {check.__name__.replace('_', ' ')}")
