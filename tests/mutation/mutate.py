"""Writes a source anew, with every change that the operators make of it behind a switch (mutant.hpp).

A change is found in the compiler's tree and made in the text: a node is a span of the file, and an expression of two
operands is a span that two others fill but for the operator. What awaits is left whole: only its statement can go.
"""
import re

import libclang

RELATIONS = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}
ARITHMETIC = {"+": "plus", "-": "minus", "*": "times", "/": "over", "%": "rest_of"}
LOGIC = {"&&": "MUTANT_AND", "||": "MUTANT_OR"}
SWAPPED = {"<": "<=, >=", "<=": "<, >", ">": ">=, <=", ">=": ">, <", "+": "-", "-": "+", "*": "/", "/": "*", "%": "/",
           "&&": "||", "||": "&&"}
FUNCTIONS = {"FunctionDecl", "CXXMethod", "CXXConstructor", "CXXDestructor", "FunctionTemplate", "CXXConversion"}
NUMBERS = re.compile(r"(const )?(bool|char|(unsigned )?(int|long|long long|short)|unsigned char|float|double|"
                     r"std::chrono::(duration|time_point)<.*>)$")


class Site:
    """A span of the source, the ids of its changes, and how its text comes about from that of its parts."""

    def __init__(self, begin, end, ids, parts, write):
        self.begin, self.end, self.ids, self.parts, self.write = begin, end, ids, parts, write


class Source:
    def __init__(self, path, command, first_id):
        self.path, self.text = path, open(path, encoding="utf-8").read()
        assert self.text.isascii(), path  # libclang counts bytes
        self.next_id = first_id
        self.mutants = []  # dicts for people
        self.sites = {}
        self.function = ""
        for function in self.functions(libclang.parse(path, command)):
            self.take_in(function)

    # What there is.

    def functions(self, node, within=""):
        for child in node.children:
            if not child.here:
                continue
            if child.kind in ("Namespace", "ClassDecl", "StructDecl"):
                yield from self.functions(child, within + (child.name + "::" if "Decl" in child.kind else ""))
            elif child.kind in FUNCTIONS:
                yield child

    def take_in(self, function):
        body = next((c for c in function.children if c.end == function.end and self.text[c.begin] == "{"), None)
        head = self.text[function.begin:body.begin] if body else ""
        if not body or "constexpr" in head:
            return
        owner = next((c.name.split("::")[-1] + "::" for c in function.children if c.kind == "TypeRef" and
                      re.search(r"\b%s::~?%s\s*\(" % (re.escape(c.name.split("::")[-1]), re.escape(function.name.lstrip("~"))), head)), "")
        self.function = owner + function.name
        self.result = function.result
        self.nodes, self.lambdas, self.conditions = {}, [], set()
        self.statements, self.fixed = set(), []
        self.collect(body, None)
        self.by_begin = {}
        for begin, end in self.nodes:
            self.by_begin.setdefault(begin, []).append(end)
        for span in sorted(self.nodes):
            self.consider(*span)

    def collect(self, node, parent):
        if node.here and node.end > node.begin:
            span = (node.begin, node.end)
            self.nodes.setdefault(span, []).append(node)
            if node.kind == "LambdaExpr":
                self.lambdas.append(span)
            if node.kind == "VarDecl" and re.match(r"(static )?constexpr", self.text[node.begin:node.end]):
                self.fixed.append(span)
        children = node.children
        if node.kind == "CaseStmt" and children:
            self.fixed.append((children[0].begin, children[0].end))
        if node.kind == "CompoundStmt":
            self.statements.update((c.begin, c.end) for c in children)
        if node.kind in ("IfStmt", "ForStmt", "WhileStmt", "CXXForRangeStmt", "CaseStmt", "DefaultStmt", "DoStmt"):
            for child in children[1:] if node.kind != "DefaultStmt" else children:
                before = self.text[node.begin:child.begin].rstrip()
                if before.endswith((")", "else", ":", "do")):
                    self.statements.add((child.begin, child.end))
        if node.kind in ("IfStmt", "WhileStmt"):
            for child, following in zip(children, children[1:]):
                if child.kind not in ("DeclStmt", "VarDecl") and self.text[child.end:following.begin].strip() == ")":
                    self.conditions.add((child.begin, child.end))
        for child in children:
            self.collect(child, node)

    # What is made of it.

    def consider(self, begin, end):
        text = self.text[begin:end]
        if any(b <= begin and end <= e for b, e in self.fixed):
            return
        kinds = {n.kind for n in self.nodes[(begin, end)]}
        types = {n.type for n in self.nodes[(begin, end)]}
        if (begin, end) in self.statements:
            self.consider_statement(begin, end, kinds)
        if "co_await" in text and not text.startswith("["):
            return
        if self.consider_operator(begin, end, types):
            return
        if text in ("true", "false"):
            self.add(begin, end, [("constant", text, "false" if text == "true" else "true")], [(begin, end)],
                     lambda ids, parts: f"MUTANT_NOT({ids[0]}, {parts[0]})")
        elif "IntegerLiteral" in kinds and re.fullmatch(r"\d+u?", text):
            self.add(begin, end, [("constant", text, text + " + 1"), ("constant", text, text + " - 1")], [(begin, end)],
                     lambda ids, parts: f"mutant::number({ids[0]}, {parts[0]})")
        elif "CallExpr" in kinds and re.match(r"std::(min|max)\(", text):
            name = text[5:8]
            inner = begin + 9
            self.add(begin, end, [("minimum", "std::" + name, "std::min" if name == "max" else "std::max")], [(inner, end)],
                     lambda ids, parts: f"mutant::{'least' if name == 'min' else 'most'}({ids[0]}, {parts[0]}")
        elif (begin, end) in self.conditions or (re.match("!(?!=)", text) and "UnaryOperator" in kinds):
            self.negate(begin, end, "condition")

    def consider_operator(self, begin, end, types):
        for middle in self.by_begin[begin]:
            if middle >= end:
                continue
            gap = re.match(r"\s*(<=|>=|==|!=|&&|\|\||[<>+\-*/%])\s*", self.text[middle:end])
            if not gap or (middle + gap.end(), end) not in self.nodes:
                continue
            parts = [(begin, middle), (middle + gap.end(), end)]
            return self.add_operator(begin, end, gap.group(1), parts, types)
        return False

    def add_operator(self, begin, end, operator, parts, types):
        was = self.text[begin:end]
        sides = [self.text[b:e] for b, e in parts]
        if operator in ("==", "!="):
            self.negate(begin, end, "relation")
        elif operator in LOGIC:
            if (begin, end) in self.conditions:
                self.negate(begin, end, "condition")
            self.add(begin, end, [("logic", was, f" {SWAPPED[operator]} ".join(sides))], parts,
                     lambda ids, p: f"{LOGIC[operator]}({ids[0]}, ({p[0]}), ({p[1]}))")
        elif operator in RELATIONS:
            changes = [("relation", was, f" {o} ".join(sides)) for o in SWAPPED[operator].split(", ")]
            self.add(begin, end, changes, parts, lambda ids, p: f"mutant::{RELATIONS[operator]}({ids[0]}, {p[0]}, {p[1]})")
        else:
            operands = [n.type for part in parts for n in self.nodes[part][:1]]
            if not all(NUMBERS.match(t) for t in list(types) + operands):
                return False
            if operator == "-" and all("time_point" in t for t in operands):
                return False
            self.add(begin, end, [("arithmetic", was, f" {SWAPPED[operator]} ".join(sides))], parts,
                     lambda ids, p: f"mutant::{ARITHMETIC[operator]}({ids[0]}, {p[0]}, {p[1]})")
        return True

    def negate(self, begin, end, operator):
        was = self.text[begin:end]
        self.add(begin, end, [(operator, was, f"!({was})")], [(begin, end)],
                 lambda ids, parts: f"MUTANT_NOT({ids[0]}, ({parts[0]}))")

    def consider_statement(self, begin, end, kinds):
        text = self.text[begin:end]
        returned = re.match(r"(co_)?return\b\s*", text)
        if returned:
            self.consider_return(begin, end, returned)
        elif text == "continue":
            self.delete(begin, end)
        elif not kinds & {"DeclStmt", "CompoundStmt", "IfStmt", "ForStmt", "WhileStmt", "CXXForRangeStmt", "SwitchStmt",
                          "CaseStmt", "DefaultStmt", "BreakStmt", "NullStmt", "CXXTryStmt", "DoStmt"} and \
                self.text[end] == ";" and not text.startswith(("throw", "try", "{", "break")):
            self.delete(begin, end)

    def delete(self, begin, end):
        self.add(begin, end + 1, [("deleted", self.text[begin:end], "")], [(begin, end)],
                 lambda ids, parts: f"{{ if (!mutant::on({ids[0]})) {parts[0]}; }}")

    def consider_return(self, begin, end, keyword):
        value = self.text[begin + keyword.end():end]
        span = (begin + keyword.end(), end)
        in_lambda = any(b < begin and end < e for b, e in self.lambdas)
        if not value:
            return self.delete(begin, end)
        types = [n.type for n in self.nodes.get(span, [])]
        if value in ("true", "false", "{}", "nullptr", "0") or "co_await" in value:
            return None
        if "bool" in types or (in_lambda and types and "dependent" in types[0]):
            relation = re.search(r" (<|<=|>|>=|==|!=) ", value) and not re.search(r"&&|\|\|", value)
            if not relation and not value.startswith("!"):
                self.negate(*span, "returned")
            return None
        if in_lambda:
            return None
        if self.result == "void":
            return self.delete(begin, end)
        if keyword.group(1) is None and re.search(r"awaitable<|\bevent$|supervisor::event|&$|exit_status|basic_string_view", self.result) and \
                "optional" not in self.result:
            return None
        word = keyword.group(0).strip()
        nothing = "{}" if word == "return" and "auto" not in self.result else f"std::decay_t<decltype({value})>{{}}"
        self.add(begin, end + 1, [("returned", value, "{}")], [span],
                 lambda ids, parts: f"{{ if (mutant::on({ids[0]})) {word} {nothing}; {word} {parts[0]}; }}")
        return None

    def add(self, begin, end, changes, parts, write):
        ids = []
        for operator, was, becomes in changes:
            ids.append(self.next_id)
            self.mutants.append({"id": self.next_id, "file": self.path, "line": self.text.count("\n", 0, begin) + 1,
                                 "function": self.function, "operator": operator, "was": " ".join(was.split()),
                                 "becomes": " ".join(becomes.split())})
            self.next_id += 1
        self.sites.setdefault((begin, end), []).append(Site(begin, end, ids, parts, write))

    # And its text.

    def mutated(self):
        head = '#include "mutant.hpp"\n#line 1 "%s"\n' % self.path
        return head + self.render(0, len(self.text), frozenset())

    def render(self, begin, end, done):
        """The text of a span, with all the sites in it but those in `done`."""
        inside = [s for s in self.sites if begin <= s[0] and s[1] <= end]
        inside = sorted((s for s in inside if any(id(site) not in done for site in self.sites[s])), key=lambda s: (s[0], -s[1]))
        out, at = [], begin
        for span in inside:
            if span[0] < at:
                continue
            site = next(s for s in self.sites[span] if id(s) not in done)
            out.append(self.text[at:span[0]])
            parts = [self.render(b, e, done | {id(site)}) for b, e in site.parts]
            text = site.write(site.ids, parts)
            out.append(text + "\n" * max(0, self.text.count("\n", *span) - text.count("\n")))
            at = span[1]
        out.append(self.text[at:end])
        return "".join(out)
