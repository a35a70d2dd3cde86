"""Conversations of the simulated fleet, with the signal of a failure or with none."""

from random import Random

from fl_assets.simulator.words import (
    APOLOGIES,
    CLOSINGS,
    CONFIDENT,
    COPIES,
    CORRECTIONS,
    GIVING_UP,
    HONEST,
    PERSONAL,
    REFUSALS,
    TOPICS,
    VAGUE,
    render,
)


def conversation(
    signal: str | None, turns: int, has_failed_call: bool, random: Random
) -> list[tuple[str, str]]:
    """Write a conversation of at least three turns; without a signal it shows none of them.

    Returns:
        Pairs of what the user says and what the system answers.
    """
    pick = random.choice
    middle_turns = turns - 2
    topics = random.sample(TOPICS, min(len(TOPICS), 1 + middle_turns // 3))
    wording, other_wording = random.sample(topics[0].openings, 2)
    values = random.getrandbits(32)
    opening = render(wording, Random(values))
    follow_ups = [turn for topic in topics for turn in random.sample(topic.follow_ups, len(topic.follow_ups))]
    follow_ups *= 1 + middle_turns // len(follow_ups)
    middle = [
        (render(query, random), render(response, random)) for query, response in follow_ups[:middle_turns]
    ]
    talk = [(opening, render(topics[0].answer, random)), *middle, pick(CLOSINGS)]
    if signal == "repeated_question":
        talk[0] = (opening, VAGUE[0])
        talk[1] = (opening if random.random() < 0.5 else render(other_wording, Random(values)), VAGUE[1])
    elif signal == "correction":
        talk[1] = (render(pick(CORRECTIONS), random), render(topics[0].answer, random))
    elif signal == "abandonment":
        talk[0] = (opening, pick(VAGUE))
        talk[-1] = (pick(GIVING_UP), "Understood.")
    elif signal == "refusal":
        place = random.randrange(turns - 1)
        talk[place] = (talk[place][0], pick(REFUSALS))
    elif signal == "apology_loop":
        first, second, third = random.sample(APOLOGIES, 3)
        for place, words in enumerate((first, second, third)):
            talk[place] = (talk[place][0], words)
    elif signal == "confident_after_failure":
        talk[-1] = pick(CONFIDENT)
    elif has_failed_call:
        talk[-1] = ("Did that work?", render(pick(HONEST), random))
    return [
        (
            _with_personal_data(query, PERSONAL, 0.12, random),
            _with_personal_data(response, COPIES, 0.04, random),
        )
        for query, response in talk
    ]


def _with_personal_data(text: str, sentences: tuple[str, ...], share: float, random: Random) -> str:
    return text + render(random.choice(sentences), random) if random.random() < share else text
