"""Tests `/api` of a real Lar with Ollama's unmodified client."""

import functools
import json
import os
import time
import unittest
import urllib.request

import ollama

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
MODEL = "smollm2-135m-instruct"
GREEDY = {"temperature": 0, "num_predict": 24}
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}}, "required": ["city"]},
    },
}


@functools.cache
def client(key=KEY):
    return ollama.Client(host=URL, headers={"authorization": f"Bearer {key}"}, timeout=120)


class Ollama(unittest.TestCase):
    def test_a_chat_and_its_stream(self):
        whole = client().chat(MODEL + ":latest", HELLO, options=GREEDY)
        self.assertEqual(whole.message.role, "assistant")
        self.assertTrue(whole.message.content)
        self.assertTrue(whole.done)
        self.assertIn(whole.done_reason, ("stop", "length"))
        self.assertGreater(whole.prompt_eval_count, 5)
        self.assertGreater(whole.eval_count, 0)
        self.assertGreater(whole.total_duration, 0)
        parts = list(client().chat(MODEL, HELLO, options=GREEDY, stream=True))
        self.assertEqual("".join(part.message.content for part in parts), whole.message.content)
        self.assertEqual([part.done for part in parts], [False] * (len(parts) - 1) + [True])
        self.assertEqual(parts[-1].eval_count, whole.eval_count)

    def test_assistant_prefill(self):
        whole = client().chat(MODEL, HELLO, options=GREEDY).message.content
        prefill, rest = whole[:whole.index(" ", 6)], whole[whole.index(" ", 6):]
        answer = client().chat(MODEL, HELLO + [{"role": "assistant", "content": prefill}], options=GREEDY)
        self.assertEqual(answer.message.content[:8], rest[:8])

    def test_generate_with_streams_raw_prompts_formats_and_stops(self):
        whole = client().generate(MODEL, "Say hello.", system="You are brief.", options=GREEDY)
        self.assertTrue(whole.response)
        parts = list(client().generate(MODEL, "Say hello.", system="You are brief.", options=GREEDY, stream=True))
        self.assertEqual("".join(part.response for part in parts), whole.response)
        raw = client().generate(MODEL, "Once upon a", raw=True, options={**GREEDY, "num_predict": 3})
        self.assertEqual((raw.done_reason, raw.eval_count), ("length", 3))
        schema = {"type": "object", "properties": {"legs": {"type": "integer", "minimum": 0, "maximum": 8}}, "required": ["legs"], "additionalProperties": False}
        formed = client().generate(MODEL, "Describe a cat.", format=schema, options={"temperature": 0})
        self.assertEqual(list(json.loads(formed.response)), ["legs"])
        stopped = client().generate(MODEL, "Count from one to ten in words.", options={**GREEDY, "stop": [whole.response.split()[0]]})
        self.assertNotIn(whole.response.split()[0], stopped.response)

    def test_tool_calls_and_tool_results(self):
        # This API cannot force a tool call. The answer must be valid with and without one.
        for stream in (False, True):
            answer = client().chat(MODEL, [{"role": "user", "content": "What is the weather in Paris?"}], tools=[WEATHER], options={"temperature": 0, "num_predict": 60}, stream=stream)
            messages = [part.message for part in answer] if stream else [answer.message]
            for call in (call for message in messages for call in message.tool_calls or []):
                self.assertEqual(call.function.name, "get_weather")
                self.assertIsInstance(call.function.arguments, dict)
        messages = [
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]},
            {"role": "tool", "content": "Sunny, 21 degrees", "tool_name": "get_weather"},
        ]
        self.assertTrue(client().chat(MODEL, messages, options=GREEDY).message.content)

    def test_logprobs_and_context(self):
        answer = client().chat(MODEL, HELLO, options=GREEDY, logprobs=True, top_logprobs=2)
        self.assertEqual("".join(token.token for token in answer.logprobs), answer.message.content)
        self.assertEqual(len(answer.logprobs[0].top_logprobs), 2)
        first = client().generate(MODEL, "Say hello.", options=GREEDY)
        second = client().generate(MODEL, "Again.", context=first.context, options=GREEDY)
        alone = client().generate(MODEL, "Again.", options=GREEDY)
        self.assertGreater(second.prompt_eval_count, alone.prompt_eval_count)

    def test_a_prompt_beyond_the_context_is_cut(self):
        # Only the end of the chat fits the context. Lar drops the long message.
        long = [{"role": "user", "content": "word " * 9000}, {"role": "assistant", "content": "Yes."}]
        self.assertTrue(client().chat(MODEL, long + HELLO, options=GREEDY).message.content)

    def test_embeddings(self):
        one = client().embed("all-minilm-l6-v2", "A cat")
        two = client().embed("all-minilm-l6-v2", ["A cat", "A train"])
        self.assertEqual((len(one.embeddings), len(two.embeddings), len(one.embeddings[0])), (1, 2, 384))
        self.assertEqual(list(one.embeddings[0]), list(two.embeddings[0]))
        self.assertEqual(list(client().embeddings("all-minilm-l6-v2", "A cat").embedding), list(one.embeddings[0]))
        with self.assertRaises(ollama.ResponseError):
            client().embed("all-minilm-l6-v2", "word " * 1000, truncate=False)

    def test_models_are_listed_shown_loaded_and_unloaded(self):
        listed = {model.model: model for model in client().list().models}
        self.assertLessEqual({MODEL, "all-minilm-l6-v2", "default", "default+memory"}, set(listed))
        self.assertTrue(listed[MODEL].digest and listed[MODEL].size and listed[MODEL].details.parameter_size)
        shown = client().show(MODEL)
        self.assertIn("completion", shown.capabilities)
        self.assertGreater(shown.modelinfo["llama.context_length"], 100)
        self.assertEqual(client().show("all-minilm-l6-v2").capabilities, ["embedding"])
        self.assertEqual(client().generate(MODEL).done_reason, "load")
        client().chat(MODEL, HELLO, options={"num_predict": 1})
        self.assertIn(MODEL, [model.model for model in client().ps().models])
        expires_at = lambda: next(model.expires_at for model in client().ps().models if model.model == MODEL)
        by_default = expires_at()
        client().chat(MODEL, HELLO, options={"num_predict": 1}, keep_alive="2h30m")
        self.assertAlmostEqual((expires_at() - by_default).total_seconds(), 2 * 3600, delta=120)
        client().generate(MODEL, keep_alive=-1)
        self.assertGreater(expires_at().year, 2100)
        for wrong in ["soon", "5 minutes", "1h30", ""]:
            with self.assertRaises(ollama.ResponseError) as refused:
                client().chat(MODEL, HELLO, keep_alive=wrong)
            self.assertEqual(refused.exception.status_code, 400, wrong)
        client().chat(MODEL, HELLO, options={"num_predict": 1}, keep_alive=0)
        for _ in range(100):
            if MODEL not in [model.model for model in client().ps().models]:
                break
            time.sleep(0.05)
        self.assertNotIn(MODEL, [model.model for model in client().ps().models])
        client().generate(MODEL)
        self.assertEqual(client().chat(MODEL, [], keep_alive=0).done_reason, "unload")

    def test_pulling_an_installed_model_succeeds(self):
        self.assertEqual(client().pull(MODEL).status, "success")
        self.assertEqual([part.status for part in client().pull(MODEL, stream=True)], ["success"])
        alias = urllib.request.Request(URL + "/lar/v1/aliases", json.dumps({"name": "llama*", "target": MODEL}).encode(), {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
        urllib.request.urlopen(alias).close()
        for request, status in [
            # An alias pattern matches this name, but no model of this name is installed.
            (lambda: client().pull("llama3.2"), 400),
            (lambda: client().pull("/etc/passwd"), 400),
            (lambda: client().pull("no such model"), 400),
            (lambda: client().delete("nothing"), 404),
        ]:
            with self.assertRaises(ollama.ResponseError) as caught:
                request()
            self.assertEqual(caught.exception.status_code, status, caught.exception)

    def test_errors(self):
        for request, status, message in [
            (lambda: client().chat("nothing", HELLO), 404, "nothing"),
            (lambda: client("lar_wrong").chat(MODEL, HELLO), 401, "key"),
            (lambda: client().chat(MODEL, [{"role": "wizard", "content": "x"}]), 400, "messages[0].role"),
            (lambda: client().chat(MODEL, [{"role": "user", "content": "x", "images": ["iVBORw0KGgo="]}]), 400, "text only"),
            (lambda: client().chat(MODEL, HELLO, top_logprobs=2), 400, "logprobs"),
            (lambda: client().generate(MODEL, "x", template="{{ .Prompt }}"), 400, "template"),
            (lambda: client().embed(MODEL, "x"), 400, MODEL),
        ]:
            with self.subTest(message=message), self.assertRaises(ollama.ResponseError) as caught:
                request()
            self.assertEqual(caught.exception.status_code, status, caught.exception)
            self.assertIn(message, caught.exception.error)


if __name__ == "__main__":
    unittest.main()
