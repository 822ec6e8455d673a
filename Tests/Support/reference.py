#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The baseline in plain numpy float64: writes Tests/Fixtures/baseline-small.json.

Independent of the compiler: forward and loss are written out, gradients are central differences.
Weights follow from a formula that the test repeats, so that the file holds results only.
"""
import json
import pathlib

import numpy as np

VOCAB, DIM, LAYERS, HEADS, KV_HEADS, HIDDEN = 13, 12, 3, 3, 1, 20
BATCH, SEQ, SOFTCAP, EPSILON = 2, 7, 9.0, 1.1920929e-07
HALF, WIDTH = LAYERS // 2, DIM // HEADS


def noise(name, shape, scale, center):
    """center + scale * (-1/2 ..< 1/2), from the name and the index."""
    seed = 0
    for byte in name.encode():
        seed = (seed * 31 + byte) % 2**32
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.uint64)
    mixed = (index * np.uint64(2654435761) + np.uint64(seed)) % np.uint64(2**32)
    mixed = (mixed ^ (mixed >> np.uint64(15))) * np.uint64(2246822519) % np.uint64(2**32)
    unit = mixed.astype(np.float64) / 2**32
    values = np.float32(center + scale * (unit - 0.5))
    return values.astype(np.float64).reshape(shape)


def shapes():
    kv = KV_HEADS * WIDTH
    yield "tok_emb", (VOCAB, DIM)
    yield "skip_weights", (HALF, DIM)
    for layer in range(LAYERS):
        path = f"blocks.{layer}."
        yield path + "attn_scale", (DIM,)
        yield path + "mlp_scale", (DIM,)
        yield path + "resid_mix", (2, DIM)
        yield path + "attn.c_q", (DIM, DIM)
        yield path + "attn.c_k", (kv, DIM)
        yield path + "attn.c_v", (kv, DIM)
        yield path + "attn.q_gain", (HEADS,)
        yield path + "attn.proj", (DIM, DIM)
        yield path + "mlp.fc", (HIDDEN, DIM)
        yield path + "mlp.proj", (DIM, HIDDEN)


def weights():
    scalars = ("scale", "mix", "gain", "skip_weights")
    return {
        name: noise(name, shape, 1.0, 1.0 if name.endswith(scalars) else 0.0)
        for name, shape in shapes()
    }


def norm(x):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON)


def rope(x):
    half = WIDTH // 2
    angle = np.arange(SEQ)[:, None] * 10000.0 ** (-2 * np.arange(half) / WIDTH)
    cos, sin = np.cos(angle)[None, :, None, :], np.sin(angle)[None, :, None, :]
    u, w = x[..., :half], x[..., half:]
    return np.concatenate([u * cos + w * sin, w * cos - u * sin], axis=-1)


def attention(n, w, path):
    q = (n @ w[path + "c_q"].T).reshape(BATCH, SEQ, HEADS, WIDTH)
    k = (n @ w[path + "c_k"].T).reshape(BATCH, SEQ, KV_HEADS, WIDTH)
    v = (n @ w[path + "c_v"].T).reshape(BATCH, SEQ, KV_HEADS, WIDTH)
    q = rope(norm(q)) * w[path + "q_gain"][None, None, :, None]
    k = rope(norm(k))
    y = np.zeros_like(q)
    for b in range(BATCH):
        for h in range(HEADS):
            group = h // (HEADS // KV_HEADS)
            for t in range(SEQ):
                scores = k[b, : t + 1, group] @ q[b, t, h] / np.sqrt(WIDTH)
                p = np.exp(scores - scores.max())
                y[b, t, h] = (p / p.sum()) @ v[b, : t + 1, group]
    return y.reshape(BATCH, SEQ, DIM) @ w[path + "proj"].T


def layer(x, x0, w, path):
    mix = w[path + "resid_mix"]
    x = mix[0] * x + mix[1] * x0
    x = x + w[path + "attn_scale"] * attention(norm(x), w, path + "attn.")
    hidden = np.maximum(norm(x) @ w[path + "mlp.fc"].T, 0) ** 2
    return x + w[path + "mlp_scale"] * (hidden @ w[path + "mlp.proj"].T)


def nll(w, ids, targets):
    x = norm(w["tok_emb"][ids])
    x0, skips = x, []
    for i in range(HALF):
        x = layer(x, x0, w, f"blocks.{i}.")
        skips.append(x)
    for i in range(HALF, LAYERS):
        if i - HALF < HALF:
            x = x + w["skip_weights"][i - HALF] * skips[HALF - 1 - (i - HALF)]
        x = layer(x, x0, w, f"blocks.{i}.")
    logits = SOFTCAP * np.tanh(norm(x) @ w["tok_emb"].T / SOFTCAP)
    lse = np.log(np.exp(logits).sum(-1))
    return lse - np.take_along_axis(logits, targets[..., None], -1)[..., 0]


def main():
    w = weights()
    tokens = (np.arange(BATCH * SEQ + 1) * 7 + 3) % 31 % VOCAB
    ids = tokens[:-1].reshape(BATCH, SEQ)
    targets = tokens[1:].reshape(BATCH, SEQ)
    losses = nll(w, ids, targets)
    gradients = {}
    step = 1e-3
    for name, values in w.items():
        flat, entries = values.reshape(-1), []
        for index in sorted({0, flat.size // 3, flat.size // 2, flat.size - 1}):
            kept = flat[index]

            def at(offset):
                flat[index] = kept + offset * step
                return nll(w, ids, targets).mean()

            # Four points: the error is of fourth order.
            slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)
            flat[index] = kept
            entries.append([index, slope])
        gradients[name] = entries
    result = {
        "loss": losses.mean(), "nll": losses.reshape(-1).tolist(),
        "tokens": tokens.tolist(), "gradients": gradients,
    }
    root = pathlib.Path(__file__).resolve().parents[1]
    out = root / "Fixtures" / "baseline-small.json"
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
