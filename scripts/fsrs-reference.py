"""Writes the results of the reference implementation of FSRS-6 (PyPI `fsrs`) for 2,000 random review histories.

The histories come from a generator; `crates/memory/src/strength.rs` has the same generator. The output has one line per
history: stability, difficulty, and retrievability 30 days after the last review.

    pip install fsrs==6.3.2
    python scripts/fsrs-reference.py > crates/memory/src/strength/reference.txt
"""

from datetime import datetime, timedelta, timezone

from fsrs import Card, Rating, Scheduler


def numbers(seed):
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


scheduler = Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
for seed in range(2000):
    random = numbers(seed)
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    card, _ = scheduler.review_card(Card(), Rating(next(random) % 4 + 1), now)
    for _ in range(next(random) % 8 + 1):
        days = next(random) % 401
        now += timedelta(days=days) if days % 5 else timedelta(hours=1)
        card, _ = scheduler.review_card(card, Rating(next(random) % 4 + 1), now)
    later = scheduler.get_card_retrievability(card, now + timedelta(days=30))
    print(f"{card.stability:.6g} {card.difficulty:.6g} {later:.6g}")
