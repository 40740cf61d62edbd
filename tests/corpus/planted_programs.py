"""Small programs in every language, no two alike, and what breaks them."""

from __future__ import annotations

import random
from typing import NamedTuple

FUNCTIONS = 6

_FRAMES: dict[str, str] = {
    "python": """import os

---
def f@(x):
    if x > @:
        return [x, '{']
    return @
---
""",
    "javascript": """---
function f@(x) {
  if (x > @) {
    return [x];
  }
  return @;
}
---
""",
    "typescript": """---
function f@(x: number): number {
  if (x > @) {
    return x;
  }
  return @;
}
---
""",
    "tsx": """---
const F@ = (p: P) => {
  if (p.x) {
    return <b>{p.x}</b>;
  }
  return <i>@</i>;
};
---
""",
    "java": """class A {
---
  int f@(int x) {
    if (x > @) {
      return x;
    }
    return @;
  }
---
}
""",
    "go": """package a
---
func f@(x int) int {
	if x > @ {
		return x
	}
	return @
}
---
""",
    "rust": """---
fn f@(x: i32) -> i32 {
    if x > @ {
        return x;
    }
    @
}
---
""",
    "c": """#include <a.h>
---
int f@(int x) {
  if (x > @) {
    return x;
  }
  return @;
}
---
""",
    "cpp": """namespace a {
---
template <class T> T f@(T x) {
  if (x > @) {
    return x;
  }
  return T(@);
}
---
}
""",
    "csharp": """class A
{
---
  int F@(int x)
  {
    if (x > @) {
      return x;
    }
    return @;
  }
---
}
""",
    "ruby": """---
def f@(x)
  if x > @
    return [x]
  end
  @
end
---
""",
    "php": """<?php
---
function f@($x) {
  if ($x > @) {
    return $x;
  }
  return @;
}
---
""",
    "bash": """#!/bin/bash
---
f@() {
  if [ "$1" -gt @ ]; then
    echo "$1"
  fi
  return @
}
---
""",
    "kotlin": """---
fun f@(x: Int): Int {
  if (x > @) {
    return x
  }
  return @
}
---
""",
    "scala": """object A {
---
  def f@(x: Int): Int = {
    if (x > @) {
      x
    } else {
      @
    }
  }
---
}
""",
    "lua": """---
local function f@(x)
  if x > @ then
    return { x }
  end
  return @
end
---
""",
    "sql": """---
CREATE TABLE t@ (a int PRIMARY KEY, b text);
SELECT a FROM t@ WHERE a > @ ORDER BY b;
---
""",
    "html": """<html><body>
---
<div class="c@">
  <p>Some text to read, number @.</p>
</div>
---
</body></html>
""",
    "css": """---
.c@ {
  margin: @px auto;
}
%media print {
  .c@ { color: red; }
}
---
""",
}
"""What starts a file, one of its functions (where `@` is a number), and what ends the file."""

PROSE = (
    "Dear reader, this is no program at all; it's a letter (or the start of one.\n"
    "Please find enclosed the report, which we hope you will enjoy } as we did.\n"
)


class Broken(NamedTuple):
    """A program that is none any more."""

    kind: str
    text: str


def languages() -> list[str]:
    return list(_FRAMES)


def program(language: str, number: int) -> str:
    """Return a program; another number gives one with other names and values."""
    start, function, end = _FRAMES[language].split("---\n")
    bodies = [function.replace("@", str(number * 100 + n)) for n in range(FUNCTIONS)]
    return (start + "".join(bodies) + end).replace("%media", "@media")


def broken(language: str, number: int) -> list[Broken]:
    """Return a program broken in several ways."""
    rng = random.Random(f"{language}{number}")
    text = program(language, number)
    lines = text.split("\n")
    middle = rng.randrange(len(lines) // 3, 2 * len(lines) // 3)
    conflict = ["<<<<<<< HEAD", lines[middle], "=======", lines[middle] + " ", ">>>>>>> topic"]
    kinds = [
        Broken("conflict", "\n".join(lines[:middle] + conflict + lines[middle + 1 :])),
        Broken("foreign", program(_other(language), number)),
        Broken("prose", PROSE * 3),
    ]
    closers = [n for n, line in enumerate(lines) if line.strip() in {"}", "end", "fi", "};"}]
    if closers:
        gone = rng.choice(closers)
        kinds.append(Broken("closer", "\n".join(lines[:gone] + lines[gone + 1 :])))
    openers = [n for n, line in enumerate(lines) if line.endswith("{")]
    if openers:
        gone = rng.choice(openers)
        lines[gone] = lines[gone][:-1]
        kinds.append(Broken("opener", "\n".join(lines)))
    # Python, SQL and HTML may be whole up to any line: their grammars see no cut there.
    if language not in {"python", "sql", "html"}:
        kinds.append(Broken("cut", text[: text.rindex("{") + 1 if closers and openers else -9]))
    return kinds


def _other(language: str) -> str:
    """Return a language that shares little with another one: Lua reads as Scala 3, word by word."""
    return "rust" if language in {"lua", "ruby", "sql", "scala"} else "lua"


_MACROS = (
    "#define CHECK_@(x) do { if (!(x)) { fail(#x, __FILE__, __LINE__); } } while (0)\n",
    """#define LIST_@(X) \\
  X(one_@) \\
  X(two_@)
""",
    "#define CAT_@(a, b) a##b\n",
    """#ifdef HAVE_@
int f_@(int a, int b) {
#else
int f_@(int a) {
#endif
  return a;
}
""",
    """#if 0
this is no code { at all
#endif
""",
    """#ifdef DEBUG_@
  #define LOG_@(...) printf(__VA_ARGS__)
#else
  #define LOG_@(...)
#endif
""",
    "EXPORT_@ int API_@ g_@(int a) NOEXCEPT_@;\n",
    "static int h_@(int a) ATTRIBUTE_@((unused));\n",
    'MODULE_LICENSE_@("MIT");\n',
    """int k_@(int a)
{
#if A_@
  if (a) {
#else
  if (!a) {
#endif
    return 1;
  }
  return 0;
}
""",
)
_CPP_MACROS = (
    """class API_@ Widget_@ : public Base {
  Q_OBJECT
 public:
  explicit Widget_@(int a);
};
""",
    """TEST(Suite_@, Works) {
  EXPECT_EQ(1, f_@(1));
}
""",
    """NAMESPACE_BEGIN_@
int n_@ = 1;
NAMESPACE_END_@
""",
)


def macro_heavy(language: str, number: int) -> str:
    """Return valid C or C++ that no grammar can read without its preprocessor."""
    rng = random.Random(number)
    pieces = rng.sample((*_MACROS, *(_CPP_MACROS if language == "cpp" else ())), 5)
    plain = [program(language, number * 10 + n) for n in range(3)]
    return "".join([plain[0], *pieces, *plain[1:]]).replace("@", str(number))
