"""What a person does in Home Assistant's page, by the requests that the page makes: sign up, add the Ollama integration, choose
a model, talk to it."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HOME, LAR = sys.argv[1:]
MODEL = "default"


def ask(path, body=None, token=None, form=False, method=None):
    data = None if body is None else (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
    request = urllib.request.Request(HOME + path, data, method=method)
    request.add_header("content-type", "application/x-www-form-urlencoded" if form else "application/json")
    if token:
        request.add_header("authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def wait(what, done, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found = done()
            if found:
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.5)
    sys.exit(f"{what} did not happen")


client = HOME + "/"
wait("its start", lambda: ask("/api/onboarding"))
person = {"client_id": client, "name": "Owner", "username": "owner", "password": "of-this-run", "language": "en"}
code = ask("/api/onboarding/users", person)["auth_code"]
token = ask("/auth/token", {"client_id": client, "grant_type": "authorization_code", "code": code}, form=True)["access_token"]

flows = "/api/config/config_entries/flow"
flow = ask(flows, {"handler": "ollama"}, token)
form = ask(f"{flows}/{flow['flow_id']}", {"url": LAR}, token)
offered = [option["value"] for option in form["data_schema"][0]["selector"]["select"]["options"]]
assert MODEL in offered and "default+memory" not in offered, offered[:5]
entry = ask(f"{flows}/{flow['flow_id']}", {"model": MODEL}, token)
assert entry["type"] == "create_entry", entry


def agent():
    states = ask("/api/states", token=token)
    return next((state["entity_id"] for state in states if state["entity_id"] == "conversation.default"), None)


talk = {"text": "Say hello.", "agent_id": wait("its agent", agent), "language": "en"}
told = ask("/api/conversation/process", talk, token)
assert told["response"]["response_type"] == "action_done", told
said = told["response"]["speech"]["plain"]["speech"]
assert said.strip(), told
again = ask("/api/conversation/process", {**talk, "text": "And goodbye?", "conversation_id": told["conversation_id"]}, token)
assert again["response"]["speech"]["plain"]["speech"].strip(), again
print("home assistant was told:", said[:60].replace("\n", " "))
