"""What Schemathesis does not know of Lar: JSON lines, and the one answer of 5xx that is right."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def json_lines(ctx, value):
    """One line. The description is of one line of the body."""
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"}


@schemathesis.check
def unavailable_is_a_missing_component(ctx, response, case):
    """`schemathesis.toml` lets a 503 pass where a model may be missing; no other 503 may hide behind it."""
    if response.status_code == 503:
        assert response.json()["code"] == "COMPONENT_UNAVAILABLE", response.text
