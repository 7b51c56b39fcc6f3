"""Tests a real Lar with the unmodified langchain-openai. run.sh runs this script."""

import os
from importlib.metadata import version
from typing import Literal

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL, KEY = f"{os.environ['LAR_URL']}/v1", os.environ["LAR_KEY"]


def model(**more):
    return ChatOpenAI(model="default", base_url=URL, api_key=KEY, temperature=0, max_retries=0, **more)


@tool
def weather(city: Literal["Oslo", "Rome"]) -> str:
    """The weather of a city."""
    return f"Rain in {city}"


class Pet(BaseModel):
    name: str
    legs: int


def chats(**more):
    chat = model(max_tokens=24, **more)
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("Say hello.")])
    assert answer.text and answer.usage_metadata["output_tokens"] <= 24
    pieces = list(chat.stream("Say hello."))
    assert len(pieces) > 2 and "".join(piece.text for piece in pieces)


def calls(**more):
    first = model(**more).bind_tools([weather], tool_choice="weather", strict=True).invoke("What is the weather in Oslo?")
    call = first.tool_calls[0]
    assert call["name"] == "weather", first
    result = ToolMessage(weather.invoke(call["args"] or {"city": "Oslo"}), tool_call_id=call["id"])
    answer = model(max_tokens=24, **more).invoke([HumanMessage("What is the weather in Oslo?"), first, result])
    assert isinstance(answer, AIMessage)


def structure():
    pet = model().with_structured_output(Pet, method="json_schema").invoke("A dog called Fido with four legs.")
    assert isinstance(pet, Pet)


def vectors():
    embedder = OpenAIEmbeddings(model="default-embedding", base_url=URL, api_key=KEY, check_embedding_ctx_length=False)
    one, other = embedder.embed_documents(["a cat", "a dog"])
    assert len(one) == len(other) == 384 and one != other


for check in (chats, calls, structure, vectors):
    check()
    print(f"langchain-openai {version('langchain-openai')}: {check.__name__}")
for check in (chats, calls):
    check(use_responses_api=True)
    print(f"langchain-openai {version('langchain-openai')}, responses: {check.__name__}")
