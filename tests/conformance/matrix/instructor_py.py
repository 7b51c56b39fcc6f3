"""`instructor`, in the modes that use structured output or tools of the server."""


import instructor
import openai
from harness import CHAT, KEY, URL, checks_of, run
from pydantic import BaseModel, Field

client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=120)
MESSAGES = [{"role": "user", "content": "Ada is 36 years old. Extract the person."}]


class Person(BaseModel):
    name: str = Field(max_length=30)
    age: int = Field(ge=0, le=150)


def ask(mode, **more):
    wrapped = instructor.from_openai(client, mode=mode)
    return wrapped.chat.completions.create(model=CHAT, response_model=Person, messages=MESSAGES, max_retries=0, temperature=0, **more)


def check_tools():
    assert isinstance(ask(instructor.Mode.TOOLS, max_tokens=120), Person)


def check_tools_strict():
    assert isinstance(ask(instructor.Mode.TOOLS_STRICT, max_tokens=120), Person)


def check_json_schema():
    assert isinstance(ask(instructor.Mode.JSON_SCHEMA, max_tokens=120), Person)


def check_functions():
    assert isinstance(ask(instructor.Mode.FUNCTIONS, max_tokens=120), Person)


def check_responses_tools():
    mode = instructor.Mode.RESPONSES_TOOLS
    wrapped = instructor.from_openai(client, mode=mode)
    assert isinstance(wrapped.responses.create(model=CHAT, response_model=Person, input=MESSAGES, max_retries=0, max_output_tokens=120), Person)


run("instructor", "instructor", checks_of(dict(globals())))
