"""How much of a real set's failures the patterns and classes cover.

    python -m benchmarks.coverage --data ../shared/data/mini_swe_agent

Reads `events.jsonl.gz` of the folder and groups its failed calls by the product's own path. Prints the
largest patterns and families, and last one line of JSON: the share of failures whose class is `other`
although they ask for something, the share in patterns of one failure, the share in the twenty largest
patterns, and how many patterns there are.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from benchmarks.failure_patterns import failed_calls, ours


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="Folder with events.jsonl.gz.")
    parser.add_argument("--show", type=int, default=20, help="Patterns that are printed.")
    options = parser.parse_args()
    calls = failed_calls(options.data)
    if not calls:
        parser.error(f"--data={options.data}: must hold failed calls")
    found = ours(calls)
    sizes = Counter(found.patterns)
    kind_of = dict(zip(found.patterns, found.kinds, strict=True))
    for name, size in sizes.most_common(options.show):
        kind = kind_of[name]
        mark = " (harmless)" if kind.is_harmless else ""
        print(f"{size:>7}  {kind.failure_class + mark:<28} {found.template_of[name][:120]}")
    total = len(calls)
    other = sum(kind.failure_class == "other" and not kind.is_harmless for kind in found.kinds)
    figures = {
        "other": round(other / total, 4),
        "singletons": round(sum(size == 1 for size in sizes.values()) / total, 4),
        "top20": round(sum(size for _, size in sizes.most_common(20)) / total, 4),
        "patterns": len(sizes),
        "families": len(set(found.families)),
        "harmless": round(sum(kind.is_harmless for kind in found.kinds) / total, 4),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
