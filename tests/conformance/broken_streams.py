"""The worker of a model is killed during a stream: each client raises its own error, and its next request succeeds."""

import json
import os
import signal
import time
import unittest

import anthropic
import ollama
import openai

URL, KEY = os.environ["LAR_URL"], os.environ["LAR_KEY"]
STORY = [{"role": "user", "content": "Write a very long story about an owl that travels around the world."}]
HELLO = [{"role": "user", "content": "Say hello."}]


def kill_models():
    with open(os.path.join(os.environ["LAR_DATA_DIR"], "server.json")) as file:
        server = json.load(file)["pid"]
    with open(f"/proc/{server}/task/{server}/children") as file:
        children = file.read().split()
    tasks = f"/proc/{server}/task"
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/children") as file:
            children += file.read().split()
    for child in {int(child) for child in children}:
        os.kill(child, signal.SIGKILL)


def read_until_killed(stream):
    for count, _ in enumerate(stream):
        if count == 5:
            kill_models()


def retry(ask):
    """Repeats a request until the worker has restarted."""
    for _ in range(50):
        try:
            return ask()
        except (openai.APIStatusError, anthropic.APIStatusError, ollama.ResponseError):
            time.sleep(0.1)
    return ask()


class BrokenStreams(unittest.TestCase):
    def test_openai(self):
        client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
        with self.assertRaises(openai.APIError) as caught:
            read_until_killed(client.chat.completions.create(model="default", messages=STORY, max_tokens=2000, stream=True))
        self.assertEqual(caught.exception.code, "engine_failed")
        retry(lambda: client.chat.completions.create(model="default", messages=HELLO, max_tokens=2))

    def test_openai_responses(self):
        client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
        kinds, last = [], None
        for count, event in enumerate(client.responses.create(model="default", input=STORY, max_output_tokens=2000, stream=True)):
            kinds.append(event.type)
            last = event
            if count == 8:
                kill_models()
        self.assertEqual(kinds[-1], "response.failed")
        self.assertEqual(last.response.status, "failed")
        self.assertTrue(last.response.error.message)
        retry(lambda: client.responses.create(model="default", input="Hi", max_output_tokens=2))

    def test_anthropic(self):
        client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
        with self.assertRaises(anthropic.APIStatusError) as caught:
            read_until_killed(client.messages.create(model="default", messages=STORY, max_tokens=2000, stream=True))
        self.assertEqual(caught.exception.body["error"]["type"], "api_error")
        retry(lambda: client.messages.create(model="default", messages=HELLO, max_tokens=2))

    def test_ollama(self):
        client = ollama.Client(host=URL, headers={"authorization": f"Bearer {KEY}"})
        with self.assertRaises(ollama.ResponseError) as caught:
            read_until_killed(client.chat("default", STORY, stream=True))
        self.assertTrue(caught.exception.error)
        retry(lambda: client.chat("default", HELLO, options={"num_predict": 2}))


if __name__ == "__main__":
    unittest.main()
