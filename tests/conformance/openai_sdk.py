"""Tests a real Lar with the unmodified OpenAI SDK: chat, streams, embeddings, models, error classes, timeouts."""

import os
import time
import unittest
from typing import Annotated

import openai
import pydantic
from openai import OpenAI

URL, KEY = os.environ["LAR_URL"] + "/v1", os.environ["LAR_KEY"]
MESSAGES = [{"role": "user", "content": "Say hello."}]
# A sampled answer may end before its limit. For tests that count tokens, the end of text is never sampled.
WHOLE = {"ignore_eos": True}


def client(**more):
    return OpenAI(**{"base_url": URL, "api_key": KEY, "max_retries": 0, "timeout": 60, **more})


class OpenAiSdk(unittest.TestCase):
    def test_chat(self):
        answer = client().chat.completions.create(model="default", messages=MESSAGES, max_tokens=8, extra_body=WHOLE)
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertTrue(answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 8)
        self.assertTrue(answer.id.startswith("chatcmpl-"))

    def test_content_parts_and_developer_role(self):
        parts = [{"role": "developer", "content": "Be brief."},
                 {"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "hi."}]}]
        answer = client().chat.completions.create(
            model="default", messages=parts, max_completion_tokens=4, extra_body=WHOLE)
        self.assertEqual(answer.usage.completion_tokens, 4)

    def test_assistant_prefill(self):
        request = {"model": "default", "max_tokens": 24, "temperature": 0, "extra_body": WHOLE}
        whole = client().chat.completions.create(messages=MESSAGES, **request).choices[0].message.content
        prefill, rest = whole[:whole.index(" ", 12)], whole[whole.index(" ", 12):]
        messages = MESSAGES + [{"role": "assistant", "content": prefill}]
        answer = client().chat.completions.create(messages=messages, **request).choices[0].message.content
        self.assertEqual(answer[:12], rest[:12])

    def test_stream(self):
        stream = client().chat.completions.create(
            model="default", messages=MESSAGES, max_tokens=8, temperature=0, stream=True,
            stream_options={"include_usage": True}, extra_body=WHOLE)
        chunks = list(stream)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        whole = client().chat.completions.create(
            model="default", messages=MESSAGES, max_tokens=8, temperature=0, extra_body=WHOLE)
        self.assertEqual(text, whole.choices[0].message.content)
        self.assertEqual(chunks[-1].usage.completion_tokens, 8)
        self.assertEqual(chunks[-2].choices[0].finish_reason, "length")

    def test_stream_helper(self):
        # The helper treats a truncated answer as an error, so stop sequences end this one.
        with client().chat.completions.stream(model="default", messages=MESSAGES, stop=["e", "o", "!"], temperature=0) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("content.delta", kinds)
        self.assertEqual(final.choices[0].finish_reason, "stop")

    def test_closing_a_stream_frees_its_slot(self):
        for _ in range(6):
            stream = client().chat.completions.create(
                model="default", messages=MESSAGES, max_tokens=2000, stream=True)
            next(iter(stream))
            stream.close()
        started = time.monotonic()
        client().chat.completions.create(model="default", messages=MESSAGES, max_tokens=2)
        self.assertLess(time.monotonic() - started, 20)

    def test_structured_output(self):
        class Person(pydantic.BaseModel):
            name: Annotated[str, pydantic.Field(max_length=12)]
            age: Annotated[int, pydantic.Field(ge=0, le=200)]

        messages = [{"role": "user", "content": "Ada is 36 years old."}]
        answer = client().chat.completions.parse(
            model="default", messages=messages, max_tokens=100, temperature=0, response_format=Person)
        self.assertIsInstance(answer.choices[0].message.parsed, Person)

    def test_tools(self):
        class Weather(pydantic.BaseModel):
            """The weather in a city"""
            city: Annotated[str, pydantic.Field(max_length=20)]

        messages = [{"role": "user", "content": "What is the weather in Paris?"}]
        tools = [openai.pydantic_function_tool(Weather)]
        request = {"model": "default", "messages": messages, "max_tokens": 100, "temperature": 0, "tools": tools,
                   "tool_choice": "required", "parallel_tool_calls": False}
        whole = client().chat.completions.parse(**request).choices[0]
        self.assertEqual(whole.finish_reason, "tool_calls")
        self.assertIsInstance(whole.message.tool_calls[0].function.parsed_arguments, Weather)
        with client().chat.completions.stream(**request) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
        self.assertIn("tool_calls.function.arguments.delta", kinds)
        call = final.choices[0].message.tool_calls[0]
        messages += [final.choices[0].message.model_dump(exclude_none=True),
                     {"role": "tool", "tool_call_id": call.id, "content": "18 C"}]
        answer = client().chat.completions.create(model="default", messages=messages, tools=tools, max_tokens=8)
        self.assertTrue(answer.choices[0].message.content)

    def test_several_answers_and_logprobs(self):
        answer = client().chat.completions.create(
            model="default", messages=MESSAGES, max_tokens=4, n=2, logprobs=True, top_logprobs=3, extra_body=WHOLE)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1])
        for choice in answer.choices:
            self.assertEqual(len(choice.logprobs.content[0].top_logprobs), 3)

    def test_completions(self):
        answer = client().completions.create(
            model="default", prompt="One two three", max_tokens=4, temperature=0, extra_body=WHOLE)
        self.assertEqual(answer.object, "text_completion")
        self.assertEqual(answer.usage.completion_tokens, 4)

    def test_embeddings(self):
        # The SDK requests base64 by default and decodes it.
        answer = client().embeddings.create(model="default-embedding", input=["a cat", "a dog"])
        self.assertEqual([len(row.embedding) for row in answer.data], [384, 384])
        plain = client().embeddings.create(model="default-embedding", input="a cat", encoding_format="float")
        for one, two in zip(plain.data[0].embedding, answer.data[0].embedding):
            self.assertAlmostEqual(one, two, places=5)

    def test_models(self):
        names = [model.id for model in client().models.list()]
        self.assertIn("smollm2-135m-instruct", names)
        self.assertEqual(client().models.retrieve("default").id, "default")

    def test_error_classes(self):
        def create(**more):
            return client().chat.completions.create(**{"model": "default", "messages": MESSAGES, **more})

        with self.assertRaises(openai.NotFoundError) as caught:
            create(model="gpt-4o")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(messages=[{"role": "user", "content": "word " * 9000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(temperature=9)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.AuthenticationError) as caught:
            client(api_key="lar_wrong").models.list()
        self.assertEqual(caught.exception.code, "invalid_api_key")
        with self.assertRaises(openai.NotFoundError):
            client().models.retrieve("nothing/of/this/name")

    def test_timeouts(self):
        started = time.monotonic()
        with self.assertRaises(openai.APITimeoutError):
            story = [{"role": "user", "content": "Write a very long story about an owl that travels around the world."}]
            client(timeout=0.3).chat.completions.create(model="default", messages=story, max_tokens=3000)
        self.assertLess(time.monotonic() - started, 5)


if __name__ == "__main__":
    unittest.main()
