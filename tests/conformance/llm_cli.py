"""Tests a real Lar with the unmodified command line tool llm. run.sh runs this script."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from importlib.metadata import version

with tempfile.TemporaryDirectory() as folder:
    models = [{"model_id": "lar", "model_name": "default", "api_base": f"{os.environ['LAR_URL']}/v1",
               "api_key_name": "lar", "supports_schema": True, "supports_tools": True}]
    # JSON is valid YAML.
    (pathlib.Path(folder) / "extra-openai-models.yaml").write_text(json.dumps(models))
    (pathlib.Path(folder) / "keys.json").write_text(json.dumps({"lar": os.environ["LAR_KEY"]}))

    def llm(*arguments):
        done = subprocess.run([sys.executable, "-m", "llm", *arguments], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "LLM_USER_PATH": folder}, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert llm("-m", "lar", "-o", "max_tokens", "16", "Say hello.").strip()
    assert llm("-m", "lar", "-o", "max_tokens", "16", "--no-stream", "Say hello.").strip()
    assert llm("-c", "-o", "max_tokens", "16", "And again.").strip(), "the conversation did not continue"
    # The schema is bounded, because the starter model may generate endless numbers.
    schema = {"type": "object", "properties": {"legs": {"enum": [2, 4]}}, "required": ["legs"], "additionalProperties": False}
    pet = json.loads(llm("-m", "lar", "--schema", json.dumps(schema), "A dog called Fido."))
    assert pet["legs"] in (2, 4), pet
print(f"llm {version('llm')}: prompts, conversations, schemas")
