"""The words of the demo site: titles and paragraphs that read like prose, chosen by number, stored nowhere."""

from __future__ import annotations

from crawler.demo.choice import mix

NOUNS = (
    "amber", "anchor", "apple", "arch", "basalt", "beacon", "birch", "bridge", "canal", "candle", "cedar", "chalk",
    "clay", "clock", "cloud", "coast", "copper", "coral", "cotton", "delta", "dune", "ember", "engine", "falcon",
    "fern", "field", "flint", "forest", "garden", "glacier", "glass", "granite", "harbor", "hazel", "heron", "island",
    "ivory", "juniper", "lagoon", "lantern", "ledger", "lichen", "linen", "marble", "meadow", "meteor", "mill",
    "mirror", "moss", "needle", "oak", "orchard", "paper", "pebble", "pepper", "pine", "quartz", "reed", "river",
    "saddle", "salt", "thistle", "timber", "willow",
)  # fmt: skip
_OPENINGS = (
    "Near the", "Beyond the", "Under the", "Beside the", "Long after the", "Before the", "Around the", "Against the",
)  # fmt: skip
_VERBS = (
    "carries", "mends", "measures", "follows", "crosses", "keeps", "turns", "warms", "marks", "answers", "counts",
    "divides", "lifts", "outlasts", "borrows", "repeats",
)  # fmt: skip
_QUALITIES = (
    "quiet", "narrow", "patient", "northern", "late", "hollow", "bright", "second", "weathered", "distant", "common",
    "heavy", "careful", "plain", "shallow", "familiar",
)  # fmt: skip
PARAGRAPHS = 256
_SENTENCES = (4, 9)


def words(bits: int, count: int) -> list[str]:
    """Return `count` nouns chosen by `bits`, six bits each."""
    return [NOUNS[(bits >> (6 * n)) & 63] for n in range(count)]


def sentence(bits: int) -> str:
    """Return one sentence chosen by `bits`."""
    first, second, third, fourth = words(bits, 4)
    quality = _QUALITIES[(bits >> 24) & 15]
    other = _QUALITIES[(bits >> 28) & 15]
    return (
        f"{_OPENINGS[(bits >> 32) & 7]} {quality} {first}, the {second} {_VERBS[(bits >> 36) & 15]} "
        f"a {other} {third} and {_VERBS[(bits >> 40) & 15]} the {fourth}."
    )


def paragraphs(key: int) -> tuple[bytes, ...]:
    """Return the pool of HTML paragraphs (0.3 to 0.8 KB each) that the pages of one seed are put together from."""
    pool = []
    for number in range(PARAGRAPHS):
        bits = mix(key ^ (number << 40))
        low, high = _SENTENCES
        text = " ".join(sentence(mix(bits + n)) for n in range(low + bits % (high - low)))
        pool.append(f"<p>{text}</p>\n".encode())
    return tuple(pool)


def title(bits: int) -> str:
    """Return two or three words in title case; one in sixteen holds an ampersand, which HTML must escape."""
    first, second, third = (word.capitalize() for word in words(bits >> 8, 3))
    if bits & 15 == 0:
        return f"{first} & {second}"
    return f"{first} {second} {third}" if bits & 16 else f"{first} {second}"
