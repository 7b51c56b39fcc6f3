"""`llama-index-llms-openai-like`."""


from harness import CHAT, KEY, URL, checks_of, run
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(model=CHAT, api_base=URL + "/v1", api_key=KEY, is_chat_model=True, is_function_calling_model=True, max_tokens=60, temperature=0, context_window=2048)
MESSAGES = [ChatMessage(role="user", content="What is the weather in Paris?")]


def get_weather(city: str) -> str:
    """The weather of a city"""
    return "Sunny"


def check_chat():
    assert model.chat(MESSAGES).message.content


def check_stream():
    assert "".join(part.delta or "" for part in model.stream_chat(MESSAGES))


def check_complete():
    assert model.complete("Once upon a time").text


def check_tool():
    answer = model.chat_with_tools([FunctionTool.from_defaults(get_weather)], user_msg="Weather in Paris?", tool_required=True)
    assert model.get_tool_calls_from_response(answer)[0].tool_name == "get_weather"


run("llama-index-llms-openai-like", "llama-index-llms-openai-like", checks_of(dict(globals())))
