"""Writes the scores of a reference implementation of BM25 (PyPI `bm25s`, Lucene's variant).

It scores 100 texts for 12 queries. Both come from a generator; `crates/memory/src/index/keywords.rs` has the same
generator. The output has one line per query, with the score of each text divided by the best score.

    pip install bm25s==0.3.16
    python scripts/bm25-reference.py > crates/memory/src/index/bm25-reference.txt
"""

import bm25s

K1, B = 0.9, 0.6


def numbers(seed):
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


made = numbers(42)


def words(count):
    """Words with a frequency that is roughly inverse to their rank."""
    return [f"w{60 // (next(made) % 60 + 1)}x{next(made) % 3}" for _ in range(count)]


texts = [words(5 + next(made) % 40) for _ in range(100)]
queries = [words(1 + next(made) % 5) for _ in range(12)]
index = bm25s.BM25(method="lucene", k1=K1, b=B)
index.index(texts, show_progress=False)
for query in queries:
    # Lar counts each word of a query once.
    scores = index.get_scores(list(dict.fromkeys(query)))
    best = scores.max()
    print(" ".join(f"{score / best:.5f}" for score in scores))
