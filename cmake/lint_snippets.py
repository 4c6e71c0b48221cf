#!/usr/bin/env python3
"""Every C++ snippet of the documents stands in a file that is compiled.

A ```cpp block must be, line by line and but for indentation, a run of lines of a source below apps/
or tests/. The tutorial's files, whose first line is their name, are compiled as they stand by
tests/consumer/tutorial.py. Prints file:line of each block that is neither; exits 1 if there is one.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def main():
    sources = [
        lines_of(path.read_text())
        for folder in ("apps", "tests")
        for path in sorted((root / folder).rglob("*.cpp"))
    ]
    documents = [root / "README.md", *sorted((root / "libsupervisor/doc").glob("*.md"))]
    wrong = 0
    for document in documents:
        text = document.read_text()
        for block in re.finditer(r"^```cpp\n(.*?)^```", text, re.M | re.S):
            wanted = lines_of(block.group(1))
            is_file = document.name == "tutorial.md" and re.match(r"// \S+\.cpp$", wanted[0])
            found = is_file or any(
                wanted == source[i : i + len(wanted)]
                for source in sources
                for i in range(len(source) - len(wanted) + 1)
            )
            if not found:
                wrong += 1
                line = text.count("\n", 0, block.start()) + 1
                name = document.relative_to(root)
                print(f"{name}:{line}: this snippet is in no source below apps/ or tests/")
    return 1 if wrong else 0


sys.exit(main())
