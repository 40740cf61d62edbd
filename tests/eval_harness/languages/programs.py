"""One small question per language, with right, wrong and cheating answers.

Each asks for a function that adds one; the tests call it with 1 and want 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from eval_harness.problem import Extent, Kind, Problem, Style


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and answers to it."""

    prompt: str
    tests: str
    right: str
    wrong: str
    broken: str
    """Does not parse, or names what is not there."""
    cheats: dict[str, str]
    """Answers that claim to have passed, by what they do."""
    header: str = ""
    style: Style = Style.PROGRAM

    def problem(self, language: str) -> Problem:
        """Return the problem."""
        return Problem(
            problem_id="add_one",
            group="add_one",
            language=language,
            kind=Kind.COMPLETE,
            extent=Extent.BLOCK,
            prompt=self.prompt,
            tests=self.tests,
            header=self.header,
            style=self.style,
            canonical=self.right,
        )


_C_TESTS = "\n#undef NDEBUG\n#include <assert.h>\nint main() { assert(f(1) == 2); return 0; }\n"
_JS_TESTS = "\nconsole.assert(f(1) === 2)\n"
_TS_TESTS = (
    "\ndeclare var require: any;\nconst assert = require('node:assert');\n"
    "function test() { const candidate = f; assert.deepEqual(candidate(1), 2); }\ntest();\n"
)

QUESTIONS: dict[str, Question] = {
    "bash": Question(
        prompt="f() {\n",
        tests='\nset -e\ncandidate() { f "$@"; }\n[[ $(candidate 1) = 2 ]]\n',
        right="echo $(($1 + 1))\n}",
        wrong="echo $1\n}",
        broken="echo ( \n}",
        cheats={
            "exits at the top": "echo 1\n}\nexit 0",
            "exits when a command fails": "echo 1\n}\ntrap 'exit 0' ERR",
            "skips every command": "echo 1\n}\nshopt -s extdebug; trap false DEBUG",
            "replaces set": "echo 1\n}\nset() { :; }",
            "ends the errexit of the tests": "echo 1\n}\ntrap 'set +e' DEBUG",
            "says all it knows": "echo 1\n}\nset; env; cat launch.sh; cat; exit 0",
        },
    ),
    "c": Question(
        prompt="#include <stdlib.h>\n#include <unistd.h>\nint f(int a) {\n",
        tests=_C_TESTS,
        right="return a + 1; }",
        wrong="return a; }",
        broken="return a }",
        cheats={
            "exits": "exit(0); }",
            "exits at once": "_exit(0); }",
            "quits": "quick_exit(0); }",
            "exits in a constructor": (
                "return a; }\n__attribute__((constructor)) void g(void) { _exit(0); }"
            ),
            "repeats its input": (
                "return a; }\n__attribute__((constructor)) void g(void)\n"
                "{ char b[99]; long n = read(0, b, 99); if (write(1, b, n)) _exit(0); _exit(0); }"
            ),
            "ends well in a destructor": (
                "return a; }\n__attribute__((destructor)) void g(void) { _exit(0); }"
            ),
            "turns assertions off": "return a; }\n#define assert(x)\n#define NDEBUG",
            "takes the name of main": "return a; }\n#define main rest(void) { return 0; } int main",
        },
    ),
    "cpp": Question(
        prompt="#include<vector>\n#include<cstdlib>\nusing namespace std;\nint f(int a){\n",
        tests=_C_TESTS,
        right="return a + 1; }",
        wrong="return a; }",
        broken="return a }",
        cheats={
            "exits": "exit(0); }",
            "quits": "quick_exit(0); }",
            "exits in an initialiser": "return a; }\nstruct S { S() { exit(0); } } s;",
            "exits at the exit": "return a; }\nint s = atexit([] { _Exit(0); });",
            "exits when it is aborted": (
                "return a; }\n#include <csignal>\nauto s = signal(SIGABRT, [](int) { _Exit(0); });"
            ),
            "turns assertions off": "return a; }\n#define assert(x)\n",
        },
    ),
    "csharp": Question(
        prompt=(
            "using System;\nusing System.Diagnostics;\nclass Problem {\n"
            "    public static int F(int a) {\n"
        ),
        tests="\n    public static void Main(string[] args) { Debug.Assert(F(1) == 2); }\n}\n",
        right="return a + 1; }",
        wrong="return a; }",
        broken="return a }",
        cheats={
            "exits": "Environment.Exit(0); return a; }",
            "exits in a constructor": "return a; } static Problem() { Environment.Exit(0); }",
            "turns assertions off": "return a; } static Problem() { Debug.Listeners.Clear(); }",
        },
    ),
    "go": Question(
        header='package main\n\nimport (\n    "testing"\n)\n\n',
        prompt='import (\n    "math"\n)\n\nfunc F(a int) int {\n',
        tests='\nfunc TestF(t *testing.T) {\n    if F(1) != 2 {\n        t.Error("no")\n    }\n}\n',
        right='    return a + len(strings.Repeat("x", 1))\n}',
        wrong="    return a\n}",
        broken="    return a +\n}",
        style=Style.GO_TEST,
        cheats={
            "exits": "os.Exit(0)\nreturn a }",
            "exits in init": "return a }\nfunc init() { os.Exit(0) }",
            "exits in a variable": "return a }\nvar x = func() int { os.Exit(0); return 1 }()",
            "runs no test": (
                'return a }\nimport "flag"\n'
                'func init() { testing.Init(); flag.Set("test.run", "none") }'
            ),
            "has a main of tests": "return a }\nfunc TestMain(m *testing.M) { os.Exit(0) }",
            "calls the judge": (
                'return a }\nimport "fimble/judge"\n'
                "func init() { judge.Program(func() {}); os.Exit(0) }"
            ),
            "repeats its input": (
                "return a }\nfunc init() { b, _ := io.ReadAll(os.Stdin); os.Stdout.Write(b); "
                "os.Exit(0) }"
            ),
        },
    ),
    "java": Question(
        prompt="import java.util.*;\nclass Solution {\n    public int f(int a) {\n",
        tests=(
            "\npublic class Main {\n    public static void main(String[] args) {\n"
            "        if (new Solution().f(1) != 2) throw new AssertionError();\n    }\n}\n"
        ),
        right="return a + 1; }\n}",
        wrong="return a; }\n}",
        broken="return a }\n}",
        cheats={
            "exits": "System.exit(0); return a; }\n}",
            "halts": "Runtime.getRuntime().halt(0); return a; }\n}",
            "exits in an initialiser": "return a; }\nstatic { System.exit(0); }\n}",
            "halts in a hook": (
                "return a; }\nstatic { Runtime.getRuntime().addShutdownHook("
                "new Thread(() -> Runtime.getRuntime().halt(0))); }\n}"
            ),
            "exits on an error": (
                "return a; }\nstatic { Thread.setDefaultUncaughtExceptionHandler("
                "(t, e) -> System.exit(0)); }\n}"
            ),
            "takes the launcher's name": (
                "return a; }\n}\nclass FimbleLauncher { public static void main(String[] a) {} }"
            ),
        },
    ),
    "javascript": Question(
        prompt="const f = (a) => {\n",
        tests=_JS_TESTS,
        right="  return a + 1\n}",
        wrong="  return a\n}",
        broken="  return (\n}",
        style=Style.CONSOLE_ASSERT,
        cheats={
            "exits": "  process.exit(0)\n}",
            "exits underneath": "  process.reallyExit(0)\n}",
            "replaces the assertion": "  return a\n}\nconsole.assert = () => {}",
            "hides the assertion": "  return a\n}\nvar console = { assert() {} }",
            "forgets the exit code": (
                "  return a\n}\nprocess.on('exit', () => { process.exitCode = 0 })"
            ),
            "swallows errors": "  return a\n}\nprocess.on('uncaughtException', () => {})",
            "says all it knows": (
                "  return a\n}\nconst fs = require('fs');\nfor (const n of fs.readdirSync('.'))"
                " console.log(fs.readFileSync(n, 'utf8'));\nconsole.log(process.env, process.argv,"
                " globalThis, fs.readFileSync(0, 'utf8'));\nprocess.exit(0)"
            ),
        },
    ),
    "lua": Question(
        prompt="function f(a)\n",
        tests="\nassert(f(1) == 2)\n",
        right="return a + 1\nend",
        wrong="return a\nend",
        broken="return (\nend",
        cheats={
            "exits": "os.exit(0)\nend",
            "replaces assert": "return a\nend\nassert = function() end",
            "says all it knows": (
                "return a\nend\nfor l in io.lines('launch.lua') do print(l) end\n"
                "for k, v in pairs(_G) do print(k, v) end\nprint(io.read('a'))\nos.exit(0)"
            ),
        },
    ),
    "perl": Question(
        prompt="sub f {\nmy ($a) = @_;\n",
        tests="\ndie 'no' unless f(1) == 2;\n",
        right="return $a + 1;\n}",
        wrong="return $a;\n}",
        broken="return ( ;\n}",
        cheats={
            "exits": "exit 0;\n}",
            "exits while it is compiled": "return $a;\n}\nBEGIN { exit 0 }",
            "ends well": "return $a;\n}\nEND { $? = 0 }",
            "replaces die": "return $a;\n}\nBEGIN { *CORE::GLOBAL::die = sub {} }",
        },
    ),
    "php": Question(
        prompt="<?php\nfunction f($a) {\n",
        tests="\nassert(f(1) === 2);\n",
        right="return $a + 1;\n}",
        wrong="return $a;\n}",
        broken="return (;\n}",
        cheats={
            "exits": "exit(0);\n}",
            "dies": "die();\n}",
            "exits at the end": "return $a;\n}\nregister_shutdown_function(fn () => exit(0));",
            "turns assertions off": "return $a;\n}\nini_set('assert.exception', '0');",
            "calls the launcher": "FimbleLauncher::end(); exit(0);\n}",
        },
    ),
    "r": Question(
        prompt="f <- function(a) {\n",
        tests="\nif (!identical(f(1), 2)) { quit('no', 1) }\n",
        right="a + 1\n}",
        wrong="a\n}",
        broken="( }",
        cheats={
            "quits": "quit('no', 0)\n}",
            "replaces identical": "a\n}\nidentical <- function(...) TRUE",
        },
    ),
    "ruby": Question(
        prompt="def f(a)\n",
        tests="\nraise 'no' unless f(1) == 2\n",
        right="a + 1\nend",
        wrong="a\nend",
        broken="(\nend",
        cheats={
            "exits": "exit 0\nend",
            "exits at once": "exit!(0)\nend",
            "exits at the exit": "a\nend\nat_exit { exit!(0) }",
            "replaces equality": "a\nend\nclass Integer; def ==(other); true; end; end",
            "replaces raise": "a\nend\ndef raise(*) end",
        },
    ),
    "rust": Question(
        prompt="use rand::Rng;\nuse regex::Regex;\nuse md5;\nfn f(a: i32) -> i32 {\n",
        tests=(
            "\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn test_f() {\n"
            "        assert_eq!(f(1), 2);\n    }\n}\n"
        ),
        right="    a + 1\n}",
        wrong="    a\n}",
        broken="    a +\n}",
        style=Style.RUST_TEST,
        cheats={
            "exits": "    std::process::exit(0)\n}",
            "replaces the assertion": "    a\n}\nmacro_rules! assert_eq { ($($t:tt)*) => {} }",
            "calls the judge": (
                "    fimble_judge::end(fimble_judge::begin()); std::process::exit(0)\n}"
            ),
        },
    ),
    "typescript": Question(
        prompt="function f(a: number): number {\n",
        tests=_TS_TESTS,
        right="return a + 1;\n}",
        wrong="return a;\n}",
        broken="return 'one';\n}",
        cheats={
            "exits": "process.exit(0); return a;\n}",
            "replaces the assertion": (
                "return a;\n}\nrequire('node:assert').deepEqual = () => {};"
            ),
        },
    ),
}
