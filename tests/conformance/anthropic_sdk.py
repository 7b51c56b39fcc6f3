"""Tests `/v1/messages` of a real Lar with Anthropic's unmodified client."""

import json
import os
import unittest
from typing import Literal

import anthropic

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
MODEL = "default"
# This version of the client has no field for the temperature; earlier versions have one.
GREEDY = {"temperature": 0}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]},
}


class Anthropic(unittest.TestCase):
    def setUp(self):
        self.client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=60)
        self.addCleanup(self.client.close)

    def say(self, content="Say hello.", **more):
        request = {"model": MODEL, "max_tokens": 24, "messages": [{"role": "user", "content": content}], "extra_body": GREEDY}
        return self.client.messages.create(**{**request, **more})

    def test_a_message(self):
        message = self.say(system="You are brief.", metadata={"user_id": "someone"})
        self.assertEqual((message.type, message.role), ("message", "assistant"))
        self.assertTrue(message.id.startswith("msg_"))
        self.assertTrue(message.content[0].text)
        self.assertIn(message.stop_reason, ("end_turn", "max_tokens"))
        usage = message.usage
        self.assertGreater(usage.input_tokens + usage.cache_read_input_tokens, 5)
        self.assertGreater(usage.output_tokens, 0)

    def test_a_limit_and_a_stop_sequence(self):
        self.assertEqual(self.say("Count to a hundred.", max_tokens=3).stop_reason, "max_tokens")
        whole = self.say("Count from one to ten in words.", max_tokens=40).content[0].text
        word = whole.split()[2]
        cut = self.say("Count from one to ten in words.", max_tokens=40, stop_sequences=["never", word])
        self.assertEqual((cut.stop_reason, cut.stop_sequence), ("stop_sequence", word))
        self.assertNotIn(word, cut.content[0].text if cut.content else "")

    def test_assistant_prefill(self):
        request = {"model": MODEL, "max_tokens": 24, "extra_body": GREEDY}
        user = {"role": "user", "content": "Count from one to ten in words."}
        whole = self.client.messages.create(messages=[user], **request).content[0].text
        prefill, rest = whole[:whole.index(" ", 12)], whole[whole.index(" ", 12):]
        answer = self.client.messages.create(messages=[user, {"role": "assistant", "content": prefill}], **request)
        self.assertEqual(answer.content[0].text[:12], rest[:12])

    def test_a_stream_has_the_same_text_as_the_message(self):
        request = {"model": MODEL, "max_tokens": 24, "extra_body": GREEDY, "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]}
        with self.client.messages.stream(**request) as stream:
            names = [event.type for event in stream]
            final = stream.get_final_message()
        self.assertEqual((names[0], names[-1]), ("message_start", "message_stop"))
        self.assertEqual(final.content[0].text, self.say().content[0].text)
        self.assertGreater(final.usage.output_tokens, 0)
        self.assertGreater(final.usage.input_tokens + final.usage.cache_read_input_tokens, 5)

    def test_tool_calls_and_tool_results(self):
        for streamed in (False, True):
            request = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "get_weather"}, "max_tokens": 200}
            question = "What is the weather in Paris?"
            if streamed:
                with self.client.messages.stream(model=MODEL, extra_body=GREEDY, messages=[{"role": "user", "content": question}], **request) as stream:
                    message = stream.get_final_message()
            else:
                message = self.say(question, **request)
            self.assertEqual(message.stop_reason, "tool_use")
            call = message.content[-1]
            self.assertEqual((call.type, call.name), ("tool_use", "get_weather"))
            self.assertIsInstance(call.input["city"], str)
            messages = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": [block.model_dump() for block in message.content]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "Sunny, 21 degrees"}]}, {"type": "text", "text": "In one sentence, please."}]},
            ]
            answer = self.client.messages.create(model=MODEL, max_tokens=24, extra_body=GREEDY, messages=messages, tools=[WEATHER], tool_choice={"type": "none"})
            self.assertTrue(answer.content[0].text)

    def test_a_tool_runner_keeps_its_conversation(self):
        # The runner first asks the server to store the conversation. Lar refuses, so the runner sends the whole
        # conversation.
        @anthropic.beta_tool
        def get_weather(city: Literal["Paris", "Oslo"]) -> str:
            """The weather of a city

            Args:
                city: The city
            """
            return "Sunny, 21 degrees"

        for streamed in (False, True):
            runner = self.client.beta.messages.tool_runner(
                model=MODEL, max_tokens=60, max_iterations=2, tools=[get_weather], tool_choice={"type": "any", "disable_parallel_tool_use": True},
                messages=[{"role": "user", "content": "What is the weather in Paris?"}], stream=streamed, extra_body=GREEDY,
            )
            messages = [item.get_final_message() if streamed else item for item in runner]
            self.assertEqual([message.content[-1].type for message in messages], ["tool_use", "tool_use"])
            tokens = [message.usage.input_tokens + message.usage.cache_read_input_tokens for message in messages]
            self.assertGreater(tokens[1], tokens[0] + 20, "the second request did not contain the first one, the call and its result")

    def test_a_thread_continues_without_storage_on_the_server(self):
        request = {"model": MODEL, "max_tokens": 8, "extra_body": GREEDY}
        thread = self.client.beta.messages.thread(**request, unsupported_request_behavior="continue_unthreaded")
        first = thread.send({"role": "user", "content": "My name is Ada."})
        second = thread.send({"role": "user", "content": "What is my name?"})
        tokens = [message.usage.input_tokens + message.usage.cache_read_input_tokens for message in (first, second)]
        self.assertGreater(tokens[1], tokens[0])
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client.beta.messages.thread(**request).send({"role": "user", "content": "x"})
        self.assertEqual(caught.exception.body["error"]["details"]["error_code"], "thread_unsupported_request")

    def test_structured_output(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}, "legs": {"type": "integer", "minimum": 0, "maximum": 8}}, "required": ["name", "legs"], "additionalProperties": False}
        message = self.say("Describe a cat.", max_tokens=100, output_config={"format": {"type": "json_schema", "schema": schema}})
        self.assertEqual(set(json.loads(message.content[0].text)), {"name", "legs"})

    def test_tokens_are_counted(self):
        request = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "system": "You are brief."}
        counted = self.client.messages.count_tokens(**request).input_tokens
        usage = self.client.messages.create(max_tokens=1, **request).usage
        self.assertEqual(counted, usage.input_tokens + usage.cache_read_input_tokens)
        self.assertGreater(self.client.messages.count_tokens(**request, tools=[WEATHER]).input_tokens, counted)

    def test_models(self):
        self.assertIn("smollm2-135m-instruct", [model.id for model in self.client.models.list()])

    def test_errors_raise_the_clients_classes(self):
        with self.assertRaises(anthropic.NotFoundError) as caught:
            self.say(model="claude-of-nowhere")
        self.assertEqual(caught.exception.body["error"]["type"], "not_found_error")
        self.assertTrue(caught.exception.request_id)
        with self.assertRaises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=URL, api_key="lar_wrong", max_retries=0).messages.create(model=MODEL, max_tokens=1, messages=[{"role": "user", "content": "x"}])
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
        result = {"type": "tool_result", "tool_use_id": "toolu_nobody", "content": "x"}
        use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
        for more, text in [
            ({"content": []}, "messages[0].content"),
            ({"content": [image]}, "text only"),
            ({"content": [result]}, "tool_use_id"),
            ({"content": [use]}, "not allowed here"),
            ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "a", "input": {}}]}]}, "must end with a user message"),
            ({"messages": []}, "messages"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"extra_body": {"temperature": 1.5}}, "temperature"),
            ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
            ({"tool_choice": {"type": "any"}}, "tool_choice"),
            ({"stop_sequences": [""]}, "stop_sequences"),
            ({"content": "word " * 20_000}, "prompt is too long: "),
            ({"extra_body": {"mcp_servers": [{"type": "url"}]}}, "mcp_servers"),
        ]:
            with self.subTest(text=text), self.assertRaises(anthropic.BadRequestError) as caught:
                self.say(**more)
            self.assertEqual(caught.exception.body["error"]["type"], "invalid_request_error")
            self.assertIn(text, caught.exception.body["error"]["message"])

    def test_ignored_fields_are_named(self):
        answer = self.client.messages.with_raw_response.create(model=MODEL, max_tokens=1, messages=[{"role": "user", "content": "x"}], metadata={}, extra_body={"made_up": 1})
        self.assertEqual(answer.headers["x-lar-ignored"], "made_up, metadata")


if __name__ == "__main__":
    unittest.main()
