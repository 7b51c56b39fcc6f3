"""Extends Schemathesis for Lar: a serializer of JSON lines, and a check of the only 5xx answer that is correct."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def json_lines(ctx, value):
    """Serializes one line. The OpenAPI document describes one line of the body."""
    return {"data": value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n"}


@schemathesis.check
def unavailable_is_a_missing_component(ctx, response, case):
    """Checks the code of a 503. `schemathesis.toml` allows this status only if a model is missing."""
    if response.status_code == 503:
        assert response.json()["code"] == "COMPONENT_UNAVAILABLE", response.text
