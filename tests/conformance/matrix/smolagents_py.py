"""`smolagents`."""


from harness import CHAT, KEY, URL, checks_of, run
from smolagents import ChatMessage, OpenAIServerModel, Tool

model = OpenAIServerModel(CHAT, api_base=URL + "/v1", api_key=KEY, max_tokens=60, temperature=0)
MESSAGES = [ChatMessage(role="user", content=[{"type": "text", "text": "What is the weather in Paris?"}])]


class Weather(Tool):
    name = "get_weather"
    description = "The weather of a city"
    inputs = {"city": {"type": "string", "description": "The city", "enum": ["Paris", "Oslo"]}}
    output_type = "string"

    def forward(self, city):
        return "Sunny"


def check_generate():
    assert model.generate(MESSAGES).content


def check_stream():
    assert "".join(part.content or "" for part in model.generate_stream(MESSAGES))


def check_tool():
    assert model.generate(MESSAGES, tools_to_call_from=[Weather()]).tool_calls[0].function.name == "get_weather"


run("smolagents", "smolagents", checks_of(dict(globals())))
