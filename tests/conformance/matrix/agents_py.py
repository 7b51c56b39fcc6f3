"""`openai-agents`: runs with tools and a typed result, with chat completions and with responses."""

import asyncio
from typing import Literal

import openai
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from agents.exceptions import MaxTurnsExceeded
from harness import CHAT, KEY, URL, run
from pydantic import BaseModel, ConfigDict

set_tracing_disabled(True)


def client():
    return openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=120)


MODELS = {"chat": lambda: OpenAIChatCompletionsModel(CHAT, client()), "responses": lambda: OpenAIResponsesModel(CHAT, client())}


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    warm: Literal["yes", "no"]


@function_tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city"""
    return "Sunny"


def of(name):
    def agent(**more):
        settings = ModelSettings(max_tokens=80, temperature=0, **more.pop("settings", {}))
        return Agent(name="A", instructions="You are brief.", model=MODELS[name](), model_settings=settings, **more)

    def text():
        assert asyncio.run(Runner.run(agent(), "Say hello.")).final_output

    def stream():
        async def ask():
            result = Runner.run_streamed(agent(), "Say hello.")
            return [event async for event in result.stream_events()], result.final_output

        assert all(asyncio.run(ask()))

    def typed():
        assert asyncio.run(Runner.run(agent(output_type=Answer), "Is Paris warm?")).final_output.warm in ("yes", "no")

    def typed_with_tools():
        forced = agent(tools=[get_weather], output_type=Answer, settings={"tool_choice": "required"})
        try:
            result = asyncio.run(Runner.run(forced, "Is Paris warm?", max_turns=3))
            assert result.final_output.warm in ("yes", "no")
        except MaxTurnsExceeded:
            pass  # a small model may repeat its call

    named = [text, stream, typed, typed_with_tools]
    for check in named:
        check.__name__ = f"{name}_{check.__name__}"
    return named


run("openai-agents", "openai-agents", [check for name in MODELS for check in of(name)])
