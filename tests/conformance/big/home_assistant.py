"""Uses Home Assistant like a person, with the requests of its page: signs up, adds the Ollama integration, chooses a
model and talks to it."""

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


def wait(event, done, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            found = done()
            if found:
                return found
        except (urllib.error.URLError, ConnectionError):
            pass
        time.sleep(0.5)
    sys.exit(f"{event} did not happen within {seconds} s")


client = HOME + "/"
wait("the start of Home Assistant", lambda: ask("/api/onboarding"))
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


talk = {"text": "Say hello.", "agent_id": wait("the creation of the agent", agent), "language": "en"}
answer = ask("/api/conversation/process", talk, token)
assert answer["response"]["response_type"] == "action_done", answer
speech = answer["response"]["speech"]["plain"]["speech"]
assert speech.strip(), answer
again = ask("/api/conversation/process", {**talk, "text": "And goodbye?", "conversation_id": answer["conversation_id"]}, token)
assert again["response"]["speech"]["plain"]["speech"].strip(), again
print("home assistant got the answer:", speech[:60].replace("\n", " "))
