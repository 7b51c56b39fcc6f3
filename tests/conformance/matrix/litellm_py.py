"""`litellm` with its seven providers for servers like Lar."""

import json

import litellm
from harness import CHAT, EMBEDDER, HELLO, KEY, PERSON, URL, checks_of, run, tool

litellm.suppress_debug_info = True
PROVIDERS = {
    "openai": URL + "/v1",
    "anthropic": URL,
    "ollama_chat": URL,
    "ollama": URL,
    "hosted_vllm": URL + "/v1",
    "llamafile": URL + "/v1",
    "lm_studio": URL + "/v1",
}


def ask(provider, **more):
    request = {"model": f"{provider}/{CHAT}", "messages": HELLO, "max_tokens": 16, "temperature": 0, "api_base": PROVIDERS[provider], "api_key": KEY, "num_retries": 0, "timeout": 120}
    return litellm.completion(**{**request, **more})


def of(provider):
    def chat():
        assert ask(provider).choices[0].message.content

    def stream():
        parts = [part.choices[0].delta.content or "" for part in ask(provider, stream=True)]
        assert "".join(parts)

    def tools():
        answer = ask(provider, tools=[tool()], tool_choice="required", max_tokens=60).choices[0].message
        # Ollama's API cannot force a tool call, so its model may answer with text.
        assert answer.tool_calls or provider.startswith("ollama"), answer
        if answer.tool_calls:  # only the first call is complete: a small model repeats its call until `max_tokens`
            json.loads(answer.tool_calls[0].function.arguments)

    def structured_output():
        schema_format = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON, "strict": True}}
        answer = ask(provider, response_format=schema_format, max_tokens=120).choices[0].message.content
        assert set(json.loads(answer)) == {"name", "age"}, answer

    def wrong_key():
        try:
            ask(provider, api_key="lar_wrong")
        except litellm.AuthenticationError:
            return
        except litellm.APIConnectionError as error:
            # The Ollama providers raise this error for every status.
            assert provider.startswith("ollama") and "key" in str(error), error
            return
        raise AssertionError("a wrong key was accepted")

    named = [chat, stream, tools, structured_output, wrong_key]
    for check in named:
        check.__name__ = f"{provider}_{check.__name__}"
    return named


def check_text_completion():
    found = litellm.text_completion(model=f"text-completion-openai/{CHAT}", prompt=["One", "Two"], max_tokens=4, api_base=URL + "/v1", api_key=KEY)
    assert len(found.choices) == 2


def check_embedding():
    found = litellm.embedding(model=f"openai/{EMBEDDER}", input=["a", "b"], api_base=URL + "/v1", api_key=KEY)
    assert len(found.data) == 2


def check_too_long():
    try:
        ask("openai", messages=[{"role": "user", "content": "word " * 20_000}])
    except litellm.ContextWindowExceededError:
        return
    raise AssertionError("a prompt beyond the context was accepted")


run("litellm", "litellm", [check for provider in PROVIDERS for check in of(provider)] + checks_of(dict(globals())))
