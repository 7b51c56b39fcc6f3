"""`langchain-openai`, and LangChain's agents."""

from typing import Literal

from harness import CHAT, EMBEDDER, KEY, URL, checks_of, run
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

AT = {"base_url": URL + "/v1", "api_key": KEY, "max_retries": 0, "timeout": 120}
model = ChatOpenAI(model=CHAT, temperature=0, max_tokens=60, **AT)


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=99)


@tool
def get_weather(city: Literal["Paris", "Oslo"]) -> str:
    """The weather of a city"""
    return "Sunny"


def check_invoke():
    assert model.invoke("Say hello.").content


def check_stream():
    assert "".join(part.content for part in model.stream("Say hello."))


def check_forced_tool():
    answer = model.bind_tools([get_weather], tool_choice="any").invoke("What is the weather in Paris?")
    assert answer.tool_calls[0]["name"] == "get_weather"
    messages = [HumanMessage("Weather?"), AIMessage("", tool_calls=answer.tool_calls), ToolMessage("Sunny", tool_call_id=answer.tool_calls[0]["id"])]
    assert model.invoke(messages).content is not None


def check_structured_output():
    for method in ("json_schema", "function_calling"):
        found = model.with_structured_output(Person, method=method).invoke("Ada is 36 years old.")
        assert isinstance(found, Person), method


def check_responses_api():
    assert ChatOpenAI(model=CHAT, use_responses_api=True, max_tokens=16, **AT).invoke("Say hello.").content


def check_several_prompts():
    found = OpenAI(model=CHAT, max_tokens=4, **AT).generate(["One", "Two"])
    assert len(found.generations) == 2


def check_embeddings():
    found = OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False, **AT)
    assert len(found.embed_query("a")) == 384 and len(found.embed_documents(["a", "b"])) == 2


def check_agent_with_a_typed_result():
    from langchain.agents import create_agent
    from langchain.agents.structured_output import ProviderStrategy
    from langgraph.errors import GraphRecursionError

    one_call = ChatOpenAI(model=CHAT, temperature=0, max_tokens=120, model_kwargs={"parallel_tool_calls": False}, **AT)
    agent = create_agent(one_call, [get_weather], response_format=ProviderStrategy(Person))
    try:
        agent.invoke({"messages": [{"role": "user", "content": "Ada is 36 years old. Who is she?"}]}, {"recursion_limit": 4})
    except GraphRecursionError:
        pass  # a small model may repeat its call


run("langchain-openai, langchain", "langchain-openai", checks_of(dict(globals())))
