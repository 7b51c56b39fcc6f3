"""`pydantic-ai` with chat completions, responses and Anthropic's messages."""

from typing import Literal

from harness import CHAT, KEY, URL, run
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits

openai = OpenAIProvider(base_url=URL + "/v1", api_key=KEY)
MODELS = {
    "chat": OpenAIChatModel(CHAT, provider=openai),
    "responses": OpenAIResponsesModel(CHAT, provider=openai),
    "anthropic": AnthropicModel(CHAT, provider=AnthropicProvider(base_url=URL, api_key=KEY)),
}
SETTINGS = {"max_tokens": 120, "timeout": 120}


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=99)


def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city"""
    return "Sunny"


def of(name):
    model = MODELS[name]

    def text():
        assert Agent(model, model_settings=SETTINGS).run_sync("Say hello.").output

    def stream():
        answer = Agent(model, model_settings=SETTINGS).run_stream_sync("Say hello.")
        assert "".join(answer.stream_text(delta=True))

    def tool_output():
        agent = Agent(model, output_type=ToolOutput(Person), model_settings=SETTINGS)
        assert isinstance(agent.run_sync("Ada is 36 years old.").output, Person)

    def native_output_with_tools():
        agent = Agent(model, output_type=NativeOutput(Person), tools=[get_weather], model_settings=SETTINGS)
        try:
            agent.run_sync("Ada is 36 years old.", usage_limits=UsageLimits(request_limit=4))
        except (UsageLimitExceeded, UnexpectedModelBehavior):
            pass  # a small model may repeat its call until the limit

    named = [text, stream, tool_output]
    if name != "anthropic":  # for Anthropic, the library allows this only for models with known names
        named.append(native_output_with_tools)
    for check in named:
        check.__name__ = f"{name}_{check.__name__}"
    return named


run("pydantic-ai", "pydantic-ai-slim", [check for name in MODELS for check in of(name)])
