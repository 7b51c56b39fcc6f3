"""`dspy`."""


import dspy
from harness import CHAT, KEY, URL, checks_of, run

model = dspy.LM(f"openai/{CHAT}", api_base=URL + "/v1", api_key=KEY, max_tokens=80, temperature=0, cache=False, num_retries=0)


def check_text():
    assert model("Say hello.")[0]


def check_messages():
    assert model(messages=[{"role": "user", "content": "Say hello."}])[0]


def check_json():
    assert model("Answer in JSON.", response_format={"type": "json_object"})[0].startswith("{")


run("dspy", "dspy", checks_of(dict(globals())))
