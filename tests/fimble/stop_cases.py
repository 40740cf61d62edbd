"""Generations that run on after what belongs at the cursor, and where they end."""

from typing import NamedTuple

from fimble.blocks import MAX_BLOCK_LINES
from fimble.stops import StopReason


class Case(NamedTuple):
    """A generation that runs on after what belongs at the site."""

    language: str
    before: str
    behind: str
    generated: str
    kept: str
    reason: StopReason


BLOCK, LINE, SUFFIX, REPETITION = (
    StopReason.BLOCK,
    StopReason.LINE,
    StopReason.SUFFIX,
    StopReason.REPETITION,
)
CASES = {
    "a line ends at its end": Case("python", "x = ", "\ny = 2\n", "1\ny = 2\n", "1", LINE),
    "python: a body ends where its indentation does": Case(
        "python",
        "def f(x):",
        "\n",
        "\n    if x:\n\n        return 1\n    return 2\n\n\ndef g():\n",
        "\n    if x:\n\n        return 1\n    return 2",
        BLOCK,
    ),
    "python: a line to the left within a docstring is no end": Case(
        "python",
        "def f():",
        "\n",
        '\n    """Doc\nleft\n"""\n    return 1\nx = 2\n',
        '\n    """Doc\nleft\n"""\n    return 1',
        BLOCK,
    ),
    "python: brackets of the signature are closed before the body comes": Case(
        "python",
        "def f(",
        "\n",
        "\n    a,\n    b,\n):\n    return a + b\n\n\ndef g():\n",
        "\n    a,\n    b,\n):\n    return a + b",
        BLOCK,
    ),
    "python: arguments may stand left of the block": Case(
        "python",
        "class A:\n    def f(self):\n        ",
        "\n",
        "x = foo(\n    1,\n)\n        return x\n    def g(self):\n",
        "x = foo(\n    1,\n)\n        return x",
        BLOCK,
    ),
    "python: paragraphs at the top level are separate": Case(
        "python", "", "\n", "import os\nimport re\n\nX = 1\n", "import os\nimport re", BLOCK
    ),
    "javascript: the closing brace belongs to the block": Case(
        "javascript",
        "if (x) {",
        "\n",
        "\n  a();\n} else {\n  b();\n}\nc();\n",
        "\n  a();\n} else {\n  b();\n}",
        BLOCK,
    ),
    "javascript: unless it stands below already": Case(
        "javascript", "if (x) {", "\n}\nc();\n", "\n  a();\n}\nc();\n", "\n  a();", SUFFIX
    ),
    "javascript: a body whose brace is missing gets it": Case(
        "javascript",
        "function f() {\n    ",
        "\n\nfunction g() {\n}\n",
        "return 1;\n}\n\nfunction h() {\n",
        "return 1;\n}",
        BLOCK,
    ),
    "javascript: a body whose brace is there does not": Case(
        "javascript", "function f() {\n    ", "\n}\n", "return 1;\n}\n", "return 1;", BLOCK
    ),
    "javascript: two brackets of one line are both closed": Case(
        "javascript",
        "foo(function() {",
        "\n",
        "\n  a();\n  b();\n});\nbar();\n",
        "\n  a();\n  b();\n});",
        BLOCK,
    ),
    "javascript: braces in a template do not count": Case(
        "javascript",
        "function f() {",
        "\n",
        "\n  return `}\n}`;\n}\nbar();\n",
        "\n  return `}\n}`;\n}",
        BLOCK,
    ),
    "go: labels stand as far left as their switch": Case(
        "go",
        "\tswitch x {",
        "\n",
        "\n\tcase 1:\n\t\tfoo()\n\tdefault:\n\t\tbar()\n\t}\n\tbaz()\n",
        "\n\tcase 1:\n\t\tfoo()\n\tdefault:\n\t\tbar()\n\t}",
        BLOCK,
    ),
    "go: the next label ends the body of a label": Case(
        "go", "\tcase 1:", "\n\t}\n", "\n\t\tfoo()\n\tcase 2:\n\t\tbar()\n", "\n\t\tfoo()", BLOCK
    ),
    "rust: a brace as a character and a lifetime do not count": Case(
        "rust",
        "fn f<'a>(x: &'a str) -> char {",
        "\n",
        "\n    if x == \"}\" { return '}'; }\n    '{'\n}\nfn g() {\n",
        "\n    if x == \"}\" { return '}'; }\n    '{'\n}",
        BLOCK,
    ),
    "java: an annotation at the same depth goes on": Case(
        "java",
        "class A {\n    ",
        "\n}\n",
        "@Override\n    public int f() {\n        return 1;\n    }\n}\n",
        "@Override\n    public int f() {\n        return 1;\n    }",
        BLOCK,
    ),
    "c: the preprocessor stands at the left": Case(
        "c",
        "int f() {",
        "\n}\n",
        "\n    int x;\n#ifdef A\n    x = 1;\n#endif\n    return x;\n}\n",
        "\n    int x;\n#ifdef A\n    x = 1;\n#endif\n    return x;",
        SUFFIX,
    ),
    "c: an apostrophe in a comment quotes nothing": Case(
        "c", "f(", ");\n", "a /* don't */)", "a /* don't */", SUFFIX
    ),
    "ruby: the word that ends the block belongs to it": Case(
        "ruby",
        "  def f(x)",
        "\n",
        "\n    if x\n      1\n    else\n      2\n    end\n  end\n\n  def g\n",
        "\n    if x\n      1\n    else\n      2\n    end\n  end",
        BLOCK,
    ),
    "ruby: unless it stands below already": Case(
        "ruby", "def f", "\nend\n", "\n  1\nend\nend\n", "\n  1", SUFFIX
    ),
    "ruby: a body whose end is missing gets it": Case(
        "ruby", "def f\n  ", "\n\ndef g\nend\n", "1\nend\n\ndef h\n", "1\nend", BLOCK
    ),
    "ruby: a body whose end is there does not": Case(
        "ruby", "def f\n  ", "\nend\n", "endless(1)\nend\n", "endless(1)", SUFFIX
    ),
    "ruby: other words at the left are the next statement": Case(
        "ruby", "  if x", "\n", "\n    f\n  endless\n", "\n    f", BLOCK
    ),
    "ruby: a branch at the left goes on": Case(
        "ruby",
        "case x",
        "\n",
        "\nwhen 1\n  f\nelse\n  g do |y|\n    y\n  end\nend\nz\n",
        "\nwhen 1\n  f\nelse\n  g do |y|\n    y\n  end\nend",
        BLOCK,
    ),
    "ruby: a call on the end of a block belongs to it": Case(
        "ruby", "xs.map do |x|", "\n", "\n  x\nend.join\ny\n", "\n  x\nend.join", BLOCK
    ),
    "bash: a loop ends with its word": Case(
        "bash",
        "for x in *; do",
        "\n",
        '\n  case $x in\n    -a|-b) f ;;\n    *) echo "${x#y}" ;;\n  esac\ndone\necho\n',
        '\n  case $x in\n    -a|-b) f ;;\n    *) echo "${x#y}" ;;\n  esac\ndone',
        BLOCK,
    ),
    "bash: a function ends with its brace, patterns of a case or not": Case(
        "bash",
        "f() {",
        "\n",
        "\n  case $1 in\n    x) g ;;\n  esac\n}\nf\n",
        "\n  case $1 in\n    x) g ;;\n  esac\n}",
        BLOCK,
    ),
    "bash: fi stands below already": Case(
        "bash", "if x; then\n  ", "\nfi\n", "y\nfi\nz\n", "y", SUFFIX
    ),
    "lua: the end that closes a bracket, too": Case(
        "lua",
        "foo(function(x)",
        "\n",
        "\n  return #x\nend)\nbar()\n",
        "\n  return #x\nend)",
        BLOCK,
    ),
    "lua: until closes repeat": Case(
        "lua", "repeat", "\n", "\n  f()\nuntil x\ng()\n", "\n  f()\nuntil x", BLOCK
    ),
    "html: the closing tag belongs to the block": Case(
        "html",
        '  <ul class="a">',
        "\n",
        "\n    <li>don't</li>\n    <li>b</li>\n  </ul>\n  <p>\n",
        "\n    <li>don't</li>\n    <li>b</li>\n  </ul>",
        BLOCK,
    ),
    "html: unless it stands below already": Case(
        "html", "<ul>\n  ", "\n</ul>\n", "<li>a</li>\n</ul>\n", "<li>a</li>", BLOCK
    ),
    "css: a rule ends with its brace": Case(
        "css",
        ".a {",
        "\n",
        "\n  background: url(//x);\n}\n\n.b {\n",
        "\n  background: url(//x);\n}",
        BLOCK,
    ),
    "sql: brackets and indentation delimit": Case(
        "sql",
        "create table a (",
        "\n",
        "\n  b int -- it's\n);\nselect 1;\n",
        "\n  b int -- it's\n);",
        BLOCK,
    ),
    "csharp: the preprocessor stands at the left": Case(
        "csharp",
        "  void F() {",
        "\n}\n",
        "\n    G();\n#if DEBUG\n    H();\n#endif\n  }\n}\n",
        "\n    G();\n#if DEBUG\n    H();\n#endif\n  }",
        BLOCK,
    ),
    "a closing bracket behind the cursor is not repeated": Case(
        "python", "foo(", ")", "bar(a))", "bar(a)", SUFFIX
    ),
    "of two open brackets the one behind the cursor is not repeated": Case(
        "python", "foo(bar(", ")\n", "a)) + 1", "a)", SUFFIX
    ),
    "a bracket opened on a line above is not repeated": Case(
        "python", "foo(\n    a, ", ")\n", "b)\n", "b", SUFFIX
    ),
    "a quote behind the cursor is not repeated": Case(
        "python", 'print("', '")\n', 'a \\" (b")\n', 'a \\" (b', SUFFIX
    ),
    "arguments behind the cursor are not repeated": Case(
        "python", "foo(", ", b)\n", "a, b)\n", "a", SUFFIX
    ),
    "words behind the cursor are not repeated, and the blank before them stays": Case(
        "python", "if ", "x > 0:\n", "y and x > 0:\n    pass", "y and ", SUFFIX
    ),
    "a semicolon behind the cursor is not repeated": Case(
        "java", "int x = ", ";\n", "5;\n", "5", SUFFIX
    ),
    "a statement before a brace on its own line keeps line end and indentation": Case(
        "javascript", "f(function() {\n    ", "})\n", "    a();\n    })\n", "    a();\n    ", SUFFIX
    ),
    "lines that stand below are not repeated": Case(
        "python",
        "def f(x):\n    ",
        "\n    y = 1\n    return x\n",
        "x += 1\n    y = 1\n    return x\n    z",
        "x += 1",
        SUFFIX,
    ),
    "whole lines before a line keep their line end": Case(
        "python", "x = 1\n", "z = 3\nw = 4\n", "y = 2\nz = 3\nw = 4\n", "y = 2\n", SUFFIX
    ),
    "equal lines are kept once": Case(
        "python", "", "", "x.append(1)\nx.append(1)\nx.append(1)\nx", "x.append(1)", REPETITION
    ),
    "equal groups of lines are kept once": Case(
        "python", "", "", "a\nb\na\nb\na\nb\n", "a\nb", REPETITION
    ),
    "a loop within a line is kept once": Case(
        "python", "x = ", "", "self.self.self.self.self.self.self.", "self", REPETITION
    ),
    "a block has at most so many lines": Case(
        "python",
        "def f():",
        "",
        "".join(f"\n    x{n} = {n}" for n in range(20)),
        "".join(f"\n    x{n} = {n}" for n in range(MAX_BLOCK_LINES - 1)),
        BLOCK,
    ),
}
