"""How much of what is missing does code of other files say, and which kind of it?

    python -m bench.snippet_words build/corpus --projects 12 --per-language 150

Lines, expressions and blocks are taken out of files of held-out projects, as the suite `repository`
of `fimble eval` does. Counted are the words of the missing text that the window around the cursor
has not, and how many of them stand in the code of other files that the server would send: of all of
it, of each kind, and of the first lines of other files of the folder, as many bytes of them, in
place of a choice. No model is asked: this bounds what a model can learn to take from there.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from eval_harness.suites.neighbours import index_of
from eval_harness.suites.repository import problems_in
from eval_harness.suites.trees import read_tree
from fimble.context import SNIPPET_BYTES, WindowBudget, window
from fimble.snippets.around import Around
from fimble.snippets.words import encoded, words

if TYPE_CHECKING:
    from eval_harness.problem import Problem
    from eval_harness.suites.suite import Workspace
    from fimble.snippets.project import Selection

_COLUMNS = ("window", "imported", "similar", "beside", "all", "first lines")


def main() -> None:
    """Print shares by language."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", help="folder of `fimble corpus build`; its validation split")
    parser.add_argument("--projects", type=int, default=12, help="the first so many, by name")
    parser.add_argument("--per-language", type=int, default=150)
    parser.add_argument("--max-files", type=int, default=600)
    arguments = parser.parse_args()
    tree = read_tree(arguments.corpus, "", Path())
    usable = [each for each in tree.workspaces if 3 <= len(each.files) <= arguments.max_files]
    chosen = usable[:: max(1, len(usable) // arguments.projects)][: arguments.projects]
    problems = problems_in(chosen, per_language=arguments.per_language, seed=0, languages=None)
    counts: dict[str, Counter[str]] = {}
    indexes = {each.name: index_of(each) for each in chosen}
    workspaces = {each.name: each for each in chosen}
    for problem in problems:
        around = Around(problem.path, problem.prompt, problem.suffix, problem.language)
        selection = indexes[problem.project].selection(around)
        found = _counted(problem, selection, workspaces[problem.project])
        counts.setdefault(problem.language, Counter()).update(found)
        counts.setdefault("all", Counter()).update(found)
    print(f"{'language':12} {'holes':>6} {'words':>7}", *(f"{each:>12}" for each in _COLUMNS))
    for language, of in sorted(counts.items()):
        missing = of["words"] - of["window"]
        shares = [of["window"] / of["words"], *(of[each] / missing for each in _COLUMNS[1:])]
        print(
            f"{language:12} {of['holes']:6} {of['words']:7}",
            *(f"{share:12.1%}" for share in shares),
        )


def _counted(problem: Problem, selection: Selection, workspace: Workspace) -> dict[str, int]:
    """Return how many words of a hole are where."""
    around = window(problem.prompt, problem.suffix, WindowBudget())
    missing = words(encoded(problem.canonical or ""))
    known = missing & words(encoded("\n".join(around)))
    rest = missing - known
    texts = {
        name: "\n".join(snippet.text for snippet in getattr(selection, name))
        for name in ("imported", "similar", "beside")
    }
    texts["all"] = "\n".join(texts.values())
    folder = problem.path.rpartition("/")[0]
    texts["first lines"] = "".join(
        text[:500]
        for path, text in sorted(workspace.others(problem).items())
        if path.rpartition("/")[0] == folder
    )[:SNIPPET_BYTES]
    found = {name: len(rest & words(encoded(text))) for name, text in texts.items()}
    return {"holes": 1, "words": len(missing), "window": len(known), **found}


if __name__ == "__main__":
    main()
