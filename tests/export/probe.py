"""A text in every language, with everything that vocabularies stumble over, and prompts from it."""

from __future__ import annotations

from typing import NamedTuple

SOURCES: dict[str, str] = {
    "python": 'def add(a: int, b: int) -> int:\n    """Sum."""\n    return a + b\n',
    "javascript": "const sum = (xs) => xs.reduce((a, b) => a + b, 0);\nexport default sum;\n",
    "typescript": "interface Point { x: number; y?: number }\nlet p: Point = { x: 1e-3 };\n",
    "tsx": "export const Row = ({ id }: Props) => <li key={id}>{`#${id}`}</li>;\n",
    "java": "public static int max(int a, int b) {\n\treturn a > b ? a : b;\n}\n",
    "go": "func (s *Stack) Pop() (int, error) {\n\tif len(s.items) == 0 {\n\t\treturn 0, nil\n",
    "rust": "fn main() {\n    let total: u64 = xs.iter().map(|x| x * 2).sum();\n}\n",
    "c": '#include <stdio.h>\nint main(void) {\n    printf("%d\\n", 0x1F);\n    return 0;\n}\n',
    "cpp": "template <typename T>\nstd::vector<T> copy(const std::vector<T>& v) { return {v}; }\n",
    "csharp": "public int Max(int a, int b)\n{\n    return a > b ? a : b;\n}\n",
    "ruby": 'def greet(name)\n  puts "Hello, #{name}"\nend\n',
    "php": "<?php\nfunction add(int $a, int $b): int {\n    return $a + $b;\n}\n",
    "bash": 'for file in *.txt; do\n  echo "${file%.txt}"\ndone\n',
    "kotlin": "fun max(a: Int, b: Int): Int {\n    return if (a > b) a else b\n}\n",
    "scala": "def sum(xs: List[Int]): Int = xs.foldLeft(0)(_ + _)\n",
    "lua": "local function add(a, b)\n  return a + b\nend\n",
    "sql": "SELECT name, count(*) FROM users WHERE age >= 18 GROUP BY name;\n",
    "html": '<ul class="menu">\n  <li><a href="/">Home</a></li>\n</ul>\n',
    "css": ".menu li:hover {\n  margin: 0 auto;\n  color: #fff;\n}\n",
}
"""A few lines of each of `fimble.languages`."""

ODDITIES = (
    "# größe 😀 👩‍👩‍👧 日本語 عربى  x\r\n\r\n"
    "'I'll don't WE'RE 1234567890 ½ ²'\t \t\n\n\n   \n"
    "\x0c\x00\x7f\u2028\u00a0\ufeff€\U0010ffff e\u0301\n"
    "                    deep\n\t\t\t\ttabs\n"
    'TOKENS = ["<|fim_prefix|>", "<|endoftext|>", "<|fim_middle|><|fim_pad|>", "<|reserved_9|>"]\n'
)
"""Emoji, CRLF, control characters, runs of blanks, and sentinels that a source file spells."""

PROBE = "".join(SOURCES.values()) + ODDITIES


class Hole(NamedTuple):
    """A text with a piece missing."""

    prefix: str
    middle: str
    suffix: str


def hole_in(text: str) -> Hole:
    """Return `text` with its middle third missing."""
    start, stop = len(text) // 3, 2 * len(text) // 3
    return Hole(text[:start], text[start:stop], text[stop:])


_NUM_HOLES = 9
"""Not one in every language: a tiny model learns all of them by heart, in the time of a test."""
HOLES = tuple(hole_in(text) for text in (*list(SOURCES.values())[:_NUM_HOLES], ODDITIES))
