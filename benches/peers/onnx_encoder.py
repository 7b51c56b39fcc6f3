"""The peer of the encoder benchmark: BERT in ONNX Runtime, f32, one thread, from the same safetensors file.

The graph uses ONNX Runtime's fused operators (Attention, SkipLayerNormalization, BiasGelu), as its optimizer does for
an exported BERT. The script reads requests as JSON lines, {"texts": […]}. It answers with the vectors and the CPU
seconds that they took, tokenization included.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from tokenizers import Tokenizer

BATCH = 16


def graph(weights, config):
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    epsilon = config["layer_norm_eps"]
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name))
        return name

    def node(kind, inputs, output, domain="", **more):
        nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **more))
        return output

    def norm(name):
        return [constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")]

    def dense(name):
        return (constant(f"{name}.weight", weights[f"{name}.weight"].T),
                constant(f"{name}.bias", weights[f"{name}.bias"]))

    words = node("Gather", [constant("words", weights["embeddings.word_embeddings.weight"]), "ids"], "w")
    places = node("Gather", [constant("places", weights["embeddings.position_embeddings.weight"]), "positions"], "p")
    kind = constant("kind", weights["embeddings.token_type_embeddings.weight"][0])
    placed = node("Add", [places, kind], "pk")
    state = node("Add", [words, placed], "e")
    state = node("LayerNormalization", [state, *norm("embeddings.LayerNorm")], "n", epsilon=epsilon)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        qkv = constant(f"{name}.qkv", np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1))
        qkv_bias = constant(f"{name}.qkv_bias", np.concatenate([weights[f"{part}.bias"] for part in parts]))
        mixed = node("Attention", [state, qkv, qkv_bias, "lengths"], f"a{layer}", "com.microsoft", num_heads=heads)
        weight, bias = dense(f"{name}.attention.output.dense")
        product = node("MatMul", [mixed, weight], f"o{layer}")
        state = node("SkipLayerNormalization", [product, state, *norm(f"{name}.attention.output.LayerNorm"), bias],
                     f"s{layer}", "com.microsoft", epsilon=epsilon)
        weight, bias = dense(f"{name}.intermediate.dense")
        inner = node("BiasGelu", [node("MatMul", [state, weight], f"i{layer}"), bias], f"g{layer}", "com.microsoft")
        weight, bias = dense(f"{name}.output.dense")
        product = node("MatMul", [inner, weight], f"d{layer}")
        state = node("SkipLayerNormalization", [product, state, *norm(f"{name}.output.LayerNorm"), bias],
                     f"t{layer}", "com.microsoft", epsilon=epsilon)
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "n"]),
              helper.make_tensor_value_info("positions", TensorProto.INT64, ["b", "n"]),
              helper.make_tensor_value_info("lengths", TensorProto.INT32, ["b"])]
    outputs = [helper.make_tensor_value_info(state, TensorProto.FLOAT, ["b", "n", hidden])]
    made = helper.make_graph(nodes, "bert", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


def main():
    weights, tokenizer, config = sys.argv[1:4]
    with open(config) as file:
        config = json.load(file)
    model = graph(load_file(weights), config)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokenizer)
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()

    def embed(texts):
        encoded = [encoding.ids for encoding in (tokenizer.encode(text) for text in texts)]
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        vectors = [None] * len(texts)
        for begin in range(0, len(order), BATCH):
            batch = order[begin:begin + BATCH]
            lengths = np.array([len(encoded[index]) for index in batch], dtype=np.int32)
            width = int(lengths.max())
            ids = np.zeros((len(batch), width), dtype=np.int64)
            for row, index in enumerate(batch):
                ids[row, :lengths[row]] = encoded[index]
            positions = np.broadcast_to(np.arange(width), ids.shape)
            states = session.run(None, {"ids": ids, "positions": positions, "lengths": lengths})[0]
            for row, index in enumerate(batch):
                mean = states[row, :lengths[row]].mean(axis=0)
                vectors[index] = mean / np.linalg.norm(mean)
        return vectors

    print(json.dumps({"onnxruntime": ort.__version__, "onnx": onnx.__version__}), flush=True)
    for line in sys.stdin:
        texts = json.loads(line)["texts"]
        started = time.process_time()
        vectors = embed(texts)
        took = time.process_time() - started
        print(json.dumps({"cpu_s": took, "vectors": [vector.tolist() for vector in vectors]}), flush=True)


main()
