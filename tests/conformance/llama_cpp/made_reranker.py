"""Generates a cross-encoder from the starter embedder, as there is no starter reranker. Its scores mean nothing."""

import array
import hashlib
import json
import random
import struct

# The standard deviation of the classifier's random weights.
SPREAD = 0.1
POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias")


def make(embedder, blobs, models):
    """Writes the reranker's files and manifest into a models directory. `embedder` is the embedder's manifest."""
    files = {file["role"]: blobs / f"sha256-{file['sha256']}" for file in embedder["files"]}
    config = json.loads(files["config"].read_text())
    config |= {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    made = {
        "weights": weights(files["weights"].read_bytes(), config["hidden_size"]),
        "tokenizer": files["tokenizer"].read_bytes(),
        "config": json.dumps(config).encode(),
    }
    manifest = embedder | {"name": "made-reranker", "kind": "rerank", "files": []}
    for role, content in made.items():
        digest = hashlib.sha256(content).hexdigest()
        blob = models / "blobs" / f"sha256-{digest}"
        # The tokenizer may exist already, as a link to the embedder's file, which must not be overwritten.
        if not blob.exists():
            blob.write_bytes(content)
        manifest["files"].append({"role": role, "sha256": digest, "size": len(content), "place": "blob"})
    (models / "manifests" / "made-reranker.json").write_text(json.dumps(manifest))


def weights(source, width):
    """Returns the embedder's safetensors with a pooler and a classifier of random weights."""
    header_size = struct.unpack("<Q", source[:8])[0]
    header = json.loads(source[8 : 8 + header_size])
    header.pop("__metadata__", None)
    data = source[8 + header_size :]
    tensors = {f"bert.{name}": tensor for name, tensor in header.items() if not name.startswith("pooler.")}
    chance = random.Random(1)
    for name, shape in zip(POOLER, ([width, width], [width], [1, width], [1])):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array.array("f", (chance.gauss(0, SPREAD) for _ in range(count))).tobytes()
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    # The format allows no gaps, so the data of the embedder's own pooler is removed.
    packed, offset = [], 0
    for tensor in tensors.values():
        start, end = tensor["data_offsets"]
        packed.append(data[start:end])
        tensor["data_offsets"] = [offset, offset + end - start]
        offset += end - start
    head = json.dumps(tensors).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(packed)
