#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The style as a test. Usage: tests/tidy.py [FOLDER]

Each rule is a function from a tree to its findings, registered with a sample that it must complain
about and one that it must not: a rule that cannot fail fails itself. Prints a line
`file:line: rule: message` for each finding and ends with the count of rules that passed.
"""
import ast
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = {".git", "node_modules", "__pycache__", ".pytest_cache"}
SKIPPED_AT_TOP = {"build", "data"}
LAYERS = {
    "base": {"base"},
    "cache": {"base", "cache"},
    "resources": {"base", "cache", "resources"},
    "persistence": {"base", "cache", "persistence"},
    "server": {"base", "cache", "resources", "persistence", "server"},
}
# Where a library may be seen: its folder, the tests of that folder, and for h2o the yardsticks.
CONFINED = {
    "h2o": ("server/", "tests/unit/server/", "bench/"),
    "hiredis": ("persistence/", "tests/unit/persistence/"),
}
# The registered status codes (RFC 9110, section 15, and the IANA registry).
STATUSES = {100, 101, 102, 103, 226, 308, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451}
STATUSES |= {*range(200, 209), *range(300, 306), 307, *range(400, 418), *range(500, 509), 510, 511}

MAX_C, MAX_H, MAX_FUNCTION, MAX_COLUMNS = 600, 250, 70, 100


class Tree:
    """The text files under a folder: path to lines."""

    def __init__(self, root):
        self.root = root
        self.files, self.binary = {}, []
        for folder, names, files in os.walk(root):
            skipped = SKIPPED | SKIPPED_AT_TOP if folder == root else SKIPPED
            names[:] = sorted(n for n in names if n not in skipped)
            for name in sorted(files):
                path = os.path.relpath(os.path.join(folder, name), root)
                with open(os.path.join(root, path), "rb") as file:
                    raw = file.read()
                try:
                    self.files[path] = raw.decode("utf-8")
                except UnicodeDecodeError:
                    self.binary.append(path)

    def select(self, *kinds):
        return [(p, t) for p, t in self.files.items() if kind_of(p, t) in kinds]


def kind_of(path, text):
    """c, h, py, …; "sh" also for a script without an extension; "" for what no rule reads."""
    name = os.path.basename(path)
    if path.startswith("tests/fuzz/corpus/") or name in ("LICENSE", ".gitkeep"):
        return ""
    if name == "CMakeLists.txt" or name.endswith(".cmake"):
        return "cmake"
    extension = os.path.splitext(name)[1].lstrip(".")
    if extension == "" and text.startswith("#!"):
        return "py" if "python" in text.split("\n", 1)[0] else "sh"
    return extension or name


RULES = []
CODE = ("c", "h", "py", "lua", "sh", "js", "css", "cmake")


def rule(name, bad, good, around=None):
    """Registers a rule with its samples, each a dict of path to text: the rule must complain about
    every file of `bad` and about none of `good`; `around` is what both need beside them."""

    def register(function):
        RULES.append((name, function, bad, good, around or {}))
        return function

    return register


def numbered(text):
    return enumerate(text.split("\n"), 1)


def blanked(text, strings=True):
    """C without comments (and strings), every line and column where it was."""
    pattern = r"/\*.*?\*/|//[^\n]*"
    if strings:
        pattern += r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    else:
        pattern = r'("(?:\\.|[^"\\\n])*")|' + pattern

    def blank(match):
        if match.lastindex:
            return match.group(0)
        return re.sub(r"[^\n]", " ", match.group(0))

    return re.sub(pattern, blank, text, flags=re.S)


SPDX_C = "/* SPDX-License-Identifier: MIT */\n"


@rule("file-length", {"base/a.c": "\n" * 601, "base/b.h": "\n" * 251}, {"base/a.c": "\n" * 600})
def file_length(tree):
    for path, text in tree.select("c", "h"):
        lines, most = text.count("\n"), MAX_C if path.endswith(".c") else MAX_H
        if lines > most:
            yield path, lines, f"{lines} lines, at most {most}"


def c_functions(text):
    """(first line, last line) of what is between `{` and `}` at the start of a line, with the
    signature above it."""
    lines = text.split("\n")
    opened = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            opened = number
            while opened > 1 and re.match(r"[^\s#}/*]|\s+[^\s*/]", lines[opened - 2]):
                if lines[opened - 2].endswith(";"):
                    break
                opened -= 1
        elif line.startswith("}") and opened:
            yield opened, number
            opened = None


def functions(kind, text):
    if kind in ("c", "h"):
        yield from c_functions(text)
    elif kind == "py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.lineno, node.end_lineno
    else:
        last = {"lua": r"end\b", "js": r"}", "sh": r"}"}[kind]
        first = {"lua": r"(local )?function\b", "js": r"(export )?(async )?function\b",
                 "sh": r"\w+\(\) *{"}[kind]
        opened = None
        for number, line in numbered(text):
            if re.match(first, line):
                opened = number
            elif opened and re.match(last, line):
                yield opened, number
                opened = None


@rule("function-length",
      {"base/a.c": "int f(void)\n{\n" + "    g();\n" * 68 + "}\n",
       "tests/a.py": "def f():\n" + "    g()\n" * 70},
      {"base/a.c": "int f(void)\n{\n" + "    g();\n" * 67 + "}\n"})
def function_length(tree):
    for path, text in tree.select("c", "h", "py", "lua", "js", "sh"):
        for first, last in functions(kind_of(path, text), text):
            if last - first + 1 > MAX_FUNCTION:
                yield path, first, f"a function of {last - first + 1} lines, at most {MAX_FUNCTION}"


@rule("line-length", {"base/a.c": "x" * 101 + "\n"}, {"base/a.c": "é" * 100, "a.md": "x" * 200})
def line_length(tree):
    for path, text in tree.select(*CODE):
        for number, line in numbered(text):
            if len(line) > MAX_COLUMNS:
                yield path, number, f"{len(line)} columns, at most {MAX_COLUMNS}"


def includes(text):
    """(line, name, in quotes)"""
    for number, line in numbered(text):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(2), match.group(1) == '"'


@rule("include-direction",
      {"base/a.c": '#include "cache/x.h"\n', "cache/b.c": "#include <h2o.h>\n",
       "resources/c.c": '#include "persistence/x.h"\n', "persistence/d.h": '#include "x.h"\n',
       "persistence/e.c": '#include "resources/x.h"\n', "cache/f.c": '#include "server/x.h"\n',
       "server/g.c": "#include <hiredis/hiredis.h>\n", "server/h.c": '#include "tests/x.h"\n'},
      {"server/a.c": '#include <h2o.h>\n#include "persistence/x.h"\n#include "cache/x.h"\n',
       "persistence/b.c": '#include <hiredis/hiredis.h>\n#include "cache/x.h"\n',
       "tests/unit/base/test_a.c": '#include "server/x.h"\n#include "tests/x.h"\n'},
      {f"{folder}/x.h": "" for folder in (*LAYERS, "tests")})
def include_direction(tree):
    for path, text in tree.select("c", "h"):
        folder = path.split("/")[0]
        for number, name, quoted in includes(text):
            library = re.match(r"(h2o|hiredis)\b", name)
            target = name.split("/")[0]
            if library and not quoted and not path.startswith(CONFINED[library.group(1)]):
                where = " and ".join(CONFINED[library.group(1)])
                yield path, number, f"<{name}> is included only under {where}"
            elif quoted and name not in tree.files:
                yield path, number, f'"{name}": includes in quotes name a file from the top folder'
            elif quoted and folder in LAYERS and target not in LAYERS[folder]:
                yield path, number, f"{folder}/ must not include {target}/"


# A number counts as an HTTP status if it is a registered one and stands (1) in a statement that
# gives to, or compares, a name that ends in "status" or an enumerator that begins with STATUS_ or
# HTTP_, as that value or a branch of ?:, (2) in a `case`, (3) as an argument of a function or
# macro whose name has "status" in it, (4) in the name of a function (h2o_send_error_404), or
# (5) alone in a string ("404", but not the round ones, which are often sizes), before a word or
# behind "HTTP/1.1 " in one. Sizes, durations and exit codes do not come to stand there.
GIVEN = re.compile(r"\b(?:(?i:\w*status)|(?:\w*_)?(?:STATUS|HTTP)_\w+)\s*([\s=<>][^;,{}\n]*)")
IN_CASE = re.compile(r"\bcase\s+(\d{3})\b")
IN_CALL = re.compile(r"\b\w*status\w*\s*\(([^;{}]*?)\)", re.I)
IN_NAME = re.compile(r"\b[a-z]\w*_(\d{3})\s*\(")
IN_TEXT = re.compile(r'"(\d{3}) [A-Z]|"HTTP/[\d.]+ (\d{3})|"(\d(?!00)\d\d)\\?"')


def statuses_in(line):
    code = blanked(line)
    for match in GIVEN.finditer(code):
        yield from re.findall(r"(?:^|[?:=<>])\s*\(?(\d{3})\b(?!\.)", match.group(1).strip())
    for match in IN_CALL.finditer(code):
        yield from re.findall(r"(?:^|,)\s*(\d{3})\s*(?=,|$)", match.group(1))
    for pattern in (IN_CASE, IN_NAME):
        yield from pattern.findall(code)
    for match in IN_TEXT.finditer(line):
        yield next(group for group in match.groups() if group)


@rule("status-code",
      {"server/a.c": "req->res.status = 404;\n", "server/b.c": "int status = ok ? 200 : 503;\n",
       "server/c.c": "    case 412:\n", "server/d.c": "set_status(req, 429);\n",
       "server/e.c": "h2o_send_error_404(req);\n", "server/f.c": 'put("\\"422\\": {");\n',
       "server/g.c": 'write(fd, "HTTP/1.1 503 Busy");\n', "resources/h.c": "return (row_t){.status"
       " = 201};\n", "server/i.h": "#define HTTP_GONE 410\n", "server/j.c": "if (status >= 500)\n"},
      {"server/problem.c": "req->res.status = 404;\n", "server/a.c": "timeout_ms = 500;\n"
       "reserve(buffer, 400);\n/* status = 404 */\nif (exit_status == 127)\nstatus = n;\n"
       'row.status = FB_GREEN; limit = 200;\nprintf("status 404");\nstatus_bytes = 500;\n'
       'status = wait_ms(500);\noption("limit", "100", "4096");\n'})
def status_code(tree):
    for path, text in tree.select("c", "h"):
        if path.split("/")[0] not in LAYERS or path == "server/problem.c":
            continue
        for number, line in numbered(blanked(text, strings=False)):
            for found in statuses_in(line):
                if int(found) in STATUSES:
                    yield path, number, f"the HTTP status {found} belongs in server/problem.c"


def built(tree):
    """What the build files take up: a function that says so of a path."""
    patterns, words = [], set()
    for path, text in tree.select("cmake"):
        folder = os.path.dirname(path)
        for glob in re.findall(r"file\(GLOB[^)]*\)", text):
            for item in re.findall(r"[\w./${}*-]*\*[\w./${}*-]*", glob):
                item = re.sub(r"\$\{[^}]*\}", "*", item)
                regex = re.escape(os.path.join(folder, item)).replace(r"\*", "[^/]*")
                patterns.append(re.compile(regex))
        words |= {os.path.normpath(os.path.join(folder, w)) for w in re.findall(r"[\w./-]+", text)}
    return lambda path: path in words or any(p.fullmatch(path) for p in patterns)


@rule("dead-file",
      {"base/x.h": "", "base/deep/b.c": "", "conf/c.sh": "#!/bin/sh\n",
       "web/d.js": "// web/d.js\n", "tests/unit/base/e.c": "", "server/f.lua": ""},
      {"base/b.h": "", "base/b.c": "", "server/main.c": '#include "base/b.h"\n',
       "conf/c.sh": "", "README.md": "`conf/c.sh`\n", "tests/api/test_d.py": "import e\n",
       "tests/api/e.py": "", "tests/unit/base/test_f.c": ""},
      {"base/x.c": '#include "base/x.h"\n', "base/CMakeLists.txt": "file(GLOB sources *.c)\n",
       "server/CMakeLists.txt": "add_executable(x main.c)\n",
       "tests/CMakeLists.txt": "file(GLOB sources unit/${folder}/test_*.c)\n"})
def dead_file(tree):
    is_built, users = built(tree), {}
    for path, text in tree.select("c", "h"):
        for _, name, _ in includes(text):
            users.setdefault(name, set()).add(path)
    for path, text in tree.files.items():
        kind, name = kind_of(path, text), os.path.basename(path)
        stem = os.path.splitext(name)[0]
        if kind == "c" and not is_built(path) and path not in users:
            yield path, 1, "no library, program or test takes this file up"
        elif kind == "h" and not users.get(path, set()) - {path[:-1] + "c", path}:
            yield path, 1, "nobody but its own .c file includes this header"
        elif kind in ("py", "sh", "lua", "js", "css"):
            if name == "conftest.py" or name.startswith("test_") or path == ".ci/run":
                continue
            named = rf"(?<![\w-]){re.escape(name)}\b"
            if kind == "py":
                named += rf"|\b(?:import|from)\s+(?:\w+\.)*{re.escape(stem)}\b"
            if not any(re.search(named, t) for p, t in tree.files.items() if p != path):
                yield path, 1, "nobody names this script"


@rule("licence-line", {"base/a.c": "int x;\n", "dev": "#!/bin/sh\n\n\n# SPDX-License-Identifier: "
                       "MIT\n", "base/b.h": "// SPDX-License-Identifier: MIT\n"},
      {"base/a.c": SPDX_C, "dev": "#!/bin/sh\n# SPDX-License-Identifier: MIT\n", "a.md": "x\n"})
def licence_line(tree):
    others = ("py", "sh", "lua", "js", "css", "html", "cmake", "yaml", "yml", "conf", "service",
              "Dockerfile", ".clang-format", "supp")
    for path, text in tree.select("c", "h"):
        if not text.startswith(SPDX_C):
            yield path, 1, "the first line is not " + SPDX_C.strip()
    for path, text in tree.select(*others):
        if "SPDX-License-Identifier: MIT" not in "\n".join(text.split("\n")[:3]):
            yield path, 1, "no SPDX-License-Identifier: MIT in the first lines"


@rule("pragma-once", {"base/a.h": SPDX_C + "#ifndef A\n#define A\n#endif\n"},
      {"base/a.h": SPDX_C + "#pragma once\n"})
def pragma_once(tree):
    for path, text in tree.select("h"):
        if "\n#pragma once\n" not in text:
            yield path, 1, "no #pragma once"


@rule("empty-test",
      {"tests/unit/base/test_a.c": "static void it_runs(void **state)\n{\n    f();\n}\n\n"
       "int main(void)\n{\n    cmocka_unit_test(it_runs);\n}\n"},
      {"tests/unit/base/test_a.c": "static void check(int x)\n{\n    assert_int_equal(x, 1);\n"
       "}\n\nstatic void it_holds(void **state)\n{\n    check(f());\n}\n\n"
       "int main(void)\n{\n    cmocka_unit_test(it_holds);\n}\n"})
def empty_test(tree):
    for path, text in tree.select("c"):
        if not os.path.basename(path).startswith("test_"):
            continue
        bodies = {}
        for source in [path] + [n for _, n, _ in includes(text) if n.startswith("tests/")]:
            lines = blanked(tree.files.get(source, "")).split("\n")
            for first, last in c_functions("\n".join(lines)):
                body = " ".join(lines[first - 1:last])
                bodies[re.search(r"(\w+)\s*\(", body).group(1)] = (first, body)
        asserting, before = {"assert_", r"fail(?:_msg)?\(", "check_expected"}, 0
        while len(asserting) != before:
            before, calls = len(asserting), re.compile(r"\b(?:%s)" % "|".join(asserting))
            asserting |= {rf"{name}\b" for name, (_, body) in bodies.items()
                          if calls.search(body.partition("{")[2])}
        for name in re.findall(r"\bcmocka_unit_test\w*\(\s*(\w+)", text):
            if name in bodies and rf"{name}\b" not in asserting:
                yield path, bodies[name][0], f"{name} asserts nothing"


def pkg_config_flags():
    modules = ("jansson", "libxxhash", "hiredis", "jemalloc", "yaml-0.1", "openssl",
               "libh2o-evloop", "cmocka")
    done = subprocess.run(["pkg-config", "--cflags", *modules], capture_output=True, text=True,
                          check=True)
    return done.stdout.split()


@rule("header-alone", {"base/a.h": SPDX_C + "#pragma once\nsize_t f(void);\n"},
      {"base/a.h": SPDX_C + "#pragma once\n#include <stddef.h>\nsize_t f(void);\n"})
def header_alone(tree):
    command = ["gcc", "-x", "c", "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
               "-D_GNU_SOURCE", "-DH2O_USE_LIBUV=0", "-I.", *pkg_config_flags(), "-"]

    def check(path):
        done = subprocess.run(command, cwd=tree.root, capture_output=True, text=True,
                              input=f'#include "{path}"\n', check=False)
        fault = re.search(r":(\d+):\d+: (?:fatal )?error: (.*)", done.stderr)
        if done.returncode == 0:
            return None
        return (path, int(fault.group(1)), fault.group(2)) if fault else (path, 1, done.stderr)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for finding in pool.map(check, [p for p, _ in tree.select("h")]):
            if finding:
                yield finding


@rule("format", {"base/a.c": SPDX_C + "int  x ;\n"}, {"base/a.c": SPDX_C + "int x;\n"})
def formatting(tree):
    paths = [path for path, _ in tree.select("c", "h")]
    if not paths:
        return
    style = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".clang-format")
    done = subprocess.run(["clang-format", "--dry-run", f"--style=file:{style}", *paths],
                          cwd=tree.root, capture_output=True, text=True, check=False)
    seen = set()
    for path, line in re.findall(r"^(.*?):(\d+):\d+: ", done.stderr, re.M):
        if path not in seen:
            seen.add(path)
            yield path, int(line), "./dev format would change this file, here first"
    if done.returncode != 0:
        yield ".clang-format", 1, done.stderr


@rule("blanks", {"base/a.c": "\tx;\n", "b.md": "x \n", "c.md": "x", "d.yaml": "x\r\n"},
      {"base/a.c": "    x;\n", "b.md": "x\n", "empty.md": ""})
def blanks(tree):
    for path in tree.binary:
        if kind_of(path, "") in (*CODE, "md", "html", "yaml", "yml", "conf", "json", "Dockerfile"):
            yield path, 1, "not UTF-8"
    for path, text in tree.files.items():
        if kind_of(path, text) in ("", "svg"):
            continue
        for number, line in numbered(text):
            if "\t" in line or "\r" in line:
                yield path, number, "a tab or a carriage return"
            elif line != line.rstrip():
                yield path, number, "blanks at the end of the line"
        if text and not text.endswith("\n"):
            yield path, text.count("\n") + 1, "no newline at the end of the file"


# (pattern, what it is, whether tests may have it); the brackets keep this file out of its own net.
WORDS = [
    (re.compile(r"/[w]ork/|/[h]ome/|/[r]oot/"), "a path of one machine", False),
    (re.compile(r"/[t]mp\b"), "a path for temporary files", True),
    (re.compile(r"\b(?:deb|files|ftp|index|mirror|proxy|registry|security|snapshot)\.[a-z0-9-]+"
                r"\.(?:com|dev|io|net|org)\b|\b[p]ypi\b"), "the host of a registry", False),
    (re.compile(r"\b(?:[T]ODO|[F]IXME|[X]XX|[H]ACK)\b"), "unfinished work", False),
]


@rule("words", {"base/a.c": "/* TO" "DO */\n", "README.md": "see /ho" "me/x\n", "dev":
                "#!/bin/sh\nget deb." "example.org\n", "server/b.c": 'x = "/t' 'mp/x";\n'},
      {"tests/a.py": 'x = "/t' 'mp/x"\n', "README.md": "registry of resources\n"})
def words(tree):
    for path, text in tree.files.items():
        if kind_of(path, text) == "":
            continue
        for pattern, what, in_tests in WORDS:
            if in_tests and (path.startswith("tests/") or path.endswith(".md")):
                continue
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                yield path, line, f"\"{match.group(0)}\": {what}"


def findings_of(function, root):
    return sorted(function(Tree(root)), key=lambda finding: (finding[0], finding[1]))


def sample_findings(function, sample):
    with tempfile.TemporaryDirectory() as root:
        for path, text in sample.items():
            os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8", newline="") as file:
                file.write(text)
        return findings_of(function, root)


def self_test(name, function, bad, good, around):
    """A line for each file of the samples that the rule judges wrongly."""
    complained = {path for path, _, _ in sample_findings(function, {**bad, **around})}
    for path in sorted(bad.keys() - complained):
        yield f"tests/tidy.py:1: {name}: does not complain about its bad sample {path}"
    for path, line, message in sample_findings(function, {**good, **around}):
        if path not in good:
            continue
        yield f"tests/tidy.py:1: {name}: complains about its good sample {path}:{line}: {message}"


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    for tool in ("gcc", "pkg-config", "clang-format"):
        if not shutil.which(tool):
            sys.exit(f"tidy.py: {tool} is missing")
    passed = failed = 0
    for name, function, bad, good, around in RULES:
        lines = list(self_test(name, function, bad, good, around))
        failed, passed = (failed + 1, passed) if lines else (failed, passed + 1)
        found = [f"{path}:{line}: {name}: {message}"
                 for path, line, message in findings_of(function, root)]
        failed, passed = (failed + 1, passed) if found else (failed, passed + 1)
        for line in lines + found:
            print(line)
    print(f"tidy: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
