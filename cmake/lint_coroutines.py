#!/usr/bin/env python3
"""Finds coroutine code that g++ 12 miscompiles, or that leaves captures dangling.

usage: lint_coroutines.py PATH...     files, or folders of *.cpp and *.hpp
       lint_coroutines.py --self-test

The shapes were measured, each with ASan; GCC bugs 95599, 99576 and 106188 are their families.
It reads tokens, not C++: what it cannot understand it lets pass.
"""
import pathlib
import re
import sys

TOKEN = re.compile(r'[A-Za-z_]\w*|\d[\w.\']*|::|->|&&|\|\||[!=<>+\-*/%|&^]=|""|\.\.\.|\S')
LITERAL = re.compile(
    r'//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|R"([^()\s\\]{0,16})\(.*?\)\1"'
    r'|"(?:[^"\\\n]|\\.)*"|(?<![0-9A-Fa-f])\'(?:[^\'\\\n]|\\.)*\'', re.S)
DIRECTIVE = re.compile(r'^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', re.M | re.S)

CONTROL = {'if', 'while', 'for', 'switch', 'catch'}
TYPE_HEAD = {'namespace', 'class', 'struct', 'union', 'enum', 'extern'}
BEFORE_BODY = {'else', 'do', 'try', 'noexcept', 'const', 'mutable', 'override', 'final'}
# After these a [ begins a lambda although they are words.
WORD_OPERATORS = {'return', 'co_return', 'co_await', 'co_yield', 'throw', 'case', 'else', 'do'}


class Token(str):
    line = 0


class Group:
    """What stands in one pair of brackets."""
    def __init__(self, kind, line, items):
        self.kind, self.line, self.items = kind, line, items


class Lambda:
    """Its body's statements are not here; they are statements of their own."""
    def __init__(self, line, captures, is_coroutine):
        self.line, self.captures, self.is_coroutine = line, captures, is_coroutine


def tokens_of(text):
    def blank(match):
        literal = match.group()[0] in '"\'R'
        return ('""' if literal else ' ') + '\n' * match.group().count('\n')

    text = LITERAL.sub(blank, text)
    text = DIRECTIVE.sub(lambda m: '\n' * m.group().count('\n'), text)
    tokens, line, at = [], 1, 0
    for match in TOKEN.finditer(text):
        line += text.count('\n', at, match.start())
        at = match.start()
        token = Token(match.group())
        token.line = line
        tokens.append(token)
    return tokens


def is_token(item, *values):
    return isinstance(item, Token) and item in values


def is_group(item, kind):
    return isinstance(item, Group) and item.kind == kind


class Parser:
    def __init__(self, text):
        self.tokens = tokens_of(text)
        self.at = 0
        self.statements = []
        while self.at < len(self.tokens):  # a stray } is no reason to stop
            self.block()

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else Token('')

    def take(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def block(self):
        """Up to the } that closes it, which is taken."""
        items = []

        def emit():
            nonlocal items
            if items:
                self.statements.append(items)
            items = []

        while self.at < len(self.tokens):
            token = self.peek()
            if token == '}':
                self.take()
                break
            if token == ';':
                self.take()
                emit()
            elif token == ':' and items and is_token(items[0], 'case', 'default', 'public',
                                                     'private', 'protected'):
                self.take()
                emit()
            elif token == '{' and self.opens_block(items):
                self.take()
                emit()
                self.block()
            else:
                items.append(self.item(items))
                if is_group(items[-1], '(') and self.heads_control(items):
                    emit()
        emit()

    @staticmethod
    def heads_control(items):
        words = [i for i in items[:-1] if not is_token(i, 'else', 'constexpr', '}')]
        return len(words) == 1 and is_token(words[0], *CONTROL)

    @staticmethod
    def opens_block(items):
        if not items or is_group(items[-1], '(') or is_group(items[-1], '{'):
            return True
        if is_token(items[-1], *BEFORE_BODY):
            return True
        heads = [n for n, i in enumerate(items) if is_token(i, *TYPE_HEAD)]
        if heads:
            return not any(is_token(i, '=') or is_group(i, '(') for i in items[heads[-1]:])
        return any(is_token(b, '->') and is_group(a, '(') for a, b in zip(items, items[1:])) and \
            not any(is_token(i, '=') for i in items)

    def sequence(self, closer):
        items = []
        while self.at < len(self.tokens):
            if self.peek() == closer:
                self.take()
                break
            items.append(self.item(items))
        return items

    def item(self, before):
        token = self.take()
        if token == '(':
            return Group('(', token.line, self.sequence(')'))
        if token == '{':
            return Group('{', token.line, self.sequence('}'))
        if token == '[':
            if self.peek() == '[':  # an attribute
                self.sequence(']')
                return Group('attribute', token.line, [])
            inside = self.sequence(']')
            if self.begins_lambda(before):
                return self.closure(token.line, inside)
            return Group('[', token.line, inside)
        return token

    @staticmethod
    def begins_lambda(before):
        if not before:
            return True
        last = before[-1]
        if is_token(last, 'auto', 'operator', 'delete'):
            return False
        if is_token(last, '&', '&&') and len(before) > 1 and is_token(before[-2], 'auto'):
            return False
        if isinstance(last, Token):
            return last in WORD_OPERATORS or not re.match(r'\w|""', last)
        return isinstance(last, Group) and last.kind == 'attribute'

    def closure(self, line, captures):
        """From behind the introducer; what turns out to have no body is no lambda."""
        start = self.at
        while self.at < len(self.tokens):
            token = self.peek()
            if token == '{':
                self.take()
                first = self.at
                self.block()
                body = self.tokens[first:self.at]
                return Lambda(line, bool(captures), any(
                    t in ('co_await', 'co_return', 'co_yield') for t in body))
            if token in (';', '}', ')', ']', '='):
                break
            self.item([])
        self.at = start
        return Group('[', line, captures)


def walk(items):
    for item in items:
        yield item
        if isinstance(item, Group):
            yield from walk(item.items)


def awaits(items):
    return any(is_token(i, 'co_await') for i in walk(items))


def split(items, separator):
    parts = [[]]
    for item in items:
        if is_token(item, separator):
            parts.append([])
        else:
            parts[-1].append(item)
    return parts


def line_of(items):
    return next((i.line for i in walk(items) if is_token(i, 'co_await')), items[0].line)


def condition_of(statement):
    """The condition of a control statement's head, without what is allowed before it."""
    words = [i for i in statement if not is_token(i, 'else', 'constexpr', '}')]
    if len(words) != 2 or not is_group(words[1], '('):
        return []
    parts = split(words[1].items, ';')
    if words[0] in ('if', 'switch', 'while'):
        return parts[-1]
    return parts[1] if words[0] == 'for' and len(parts) == 3 else []


def operators(items):
    """Operands of ?:, !, && and || that wait, on this level and those below."""
    for part in split(items, ','):
        if awaits(part):
            if any(is_token(i, '?') for i in part):
                yield line_of(part), 'co_await in an operand of ?:'
            assigned = max((n for n, i in enumerate(part) if is_token(i, '=')), default=-1)
            if any(is_token(i, '&&', '||', 'and', 'or') for i in part[assigned + 1:]):
                yield line_of(part), 'co_await under && or ||'
            for operator, operand in zip(part, part[1:]):
                if is_token(operator, '!', 'not') and awaits([operand]):
                    yield line_of(part), 'co_await under !'
        for item in part:
            if isinstance(item, Group):
                yield from operators(item.items)


def macros(items):
    for name, group in zip(items, items[1:]):
        if isinstance(name, Token) and re.fullmatch(r'[A-Z][A-Z0-9_]{3,}|assert', name) and \
                is_group(group, '(') and awaits(group.items):
            yield line_of(group.items), f'co_await in an argument of the macro {name}'
    for item in items:
        if isinstance(item, Group):
            yield from macros(item.items)


def invoked_closures(items):
    for closure, after in zip(items, items[1:]):
        if isinstance(closure, Lambda) and closure.captures and closure.is_coroutine and \
                is_group(after, '('):
            yield closure.line, 'a capturing lambda coroutine, invoked at once: its captures dangle'
    for item in items:
        if isinstance(item, Group):
            yield from invoked_closures(item.items)


def check(statement):
    yield from invoked_closures(statement)
    if not awaits(statement):
        return
    if awaits(condition_of(statement)):
        yield line_of(statement), 'co_await in a condition'
    yield from operators(statement)
    yield from macros(statement)
    for before, item in zip(statement, statement[1:]):
        if is_group(item, '[') and (is_token(before, 'auto') or is_token(before, '&', '&&')):
            yield item.line, 'a structured binding of what co_await yields'
    for item in walk(statement):
        if isinstance(item, Lambda) and item.captures:
            yield item.line, 'a capturing lambda in a full expression with co_await'
        if is_group(item, '{'):
            yield item.line, ('co_await in a braced initialiser' if awaits(item.items) else
                              'a braced list in a full expression with co_await')


def findings(text):
    found = set()
    for statement in Parser(text).statements:
        found.update(check(statement))
    return sorted(found)


GOOD = r'''
BOOST_AUTO_TEST_SUITE(x) namespace { struct s { int i; }; awaitable<void> w(c& x) { co_await x(); } }
#define TRIED(x) if (co_await x) {}
// if (co_await f()) {}
namespace a::b { struct c : d { int e = 3; c() : f_{1}, g_(2) { h(); } }; }
awaitable<void> f(int x) {
  auto r = co_await f(1);
  if (r) co_return;
  if (auto s = co_await f(2); s) co_return;
  for (auto& x : co_await g()) use(x);
  for (;;) { co_await f(R"(if (co_await x))"); }
  auto&& y = co_await f("a ? b : c");
  auto named = [x](int) -> awaitable<void> { co_await f(x); };
  co_await f(std::move(named));
  co_await f([](int a) { return a && !x; });
  co_await (a() || b());
  co_await f(x ? 1 : 2, !x, y && z);
  co_spawn(context, [&]() -> awaitable<void> { auto k = co_await f(); }, token);
  co_spawn(context, [] () -> awaitable<void> { co_await f(); }(), token);
  spec s{1, 2};
  co_await f(std::move(s));
  co_return co_await f(a[1], b[c]);
  switch (r) { case 1: co_await f(); break; default: co_return; }
  try { co_await f(); } catch (const error& e) { if (!x) throw; }
  struct leave { int& w; ~leave() { w = {1}; } } at_end{x};
  do { co_await f(); } while (x);
  auto digits = 1'000 + co_await f('x');
}
[[nodiscard]] awaitable<int> h() { co_return co_await f(); }
BOOST_AUTO_TEST_CASE(name) { BOOST_TEST(!x); run([&]() -> awaitable<void> { co_await f(); }); }
'''

BAD = r'''
if (co_await f()) {}
if (!(co_await f())) {}
else if (auto x = co_await f()) g();
if (int y = 1; co_await f(y)) {}
while (co_await f()) {}
while (auto c = co_await f()) {}
do { g(); } while (co_await f());
for (int i = 0; co_await f(i); ++i) {}
switch (co_await f()) { case 1: co_return; }
auto x = cond ? T(1) : co_await g();
auto x = (co_await b()) ? T(1) : T(2);
bool x = !co_await f();
bool x = a && co_await f();
bool x = (co_await a()) || b;
g(a, b || co_await f());
co_await f({"a", "b"});
co_await f(spec{.name = n});
auto r = co_await f(std::vector<int>{1, 2});
co_await f([x] { return x; });
auto r = co_await co_spawn(ex, [x]() -> awaitable<void> { co_return; }, use_awaitable);
auto r = co_await co_spawn(co_await this_coro::executor, [&] { g(); }, token);
co_await [t]() -> awaitable<int> { co_return 1; }();
co_spawn(ex, [t]() -> awaitable<int> { co_return 1; }(), token);
T x{co_await a(), 1};
auto v = T{.a = co_await f()};
auto [a, b] = co_await f();
const auto& [a, b] = co_await f();
BOOST_TEST(co_await f());
assert(co_await f());
void g() { run([&]() -> awaitable<void> { if (co_await f()) g(); }); }
'''


def self_test():
    failed = [f'good, but found: {GOOD.splitlines()[line - 1].strip()}: {rule}'
              for line, rule in findings(GOOD)]
    bad = [line for line in BAD.splitlines() if line]
    failed += [f'bad, but not found: {line}' for line in bad
               if not findings('awaitable<void> f() {\n' + line + '\n}\n')]
    for failure in failed:
        print(failure)
    print(f'lint_coroutines: {len(bad) + 1 - len(failed)} passed, {len(failed)} failed')
    return 1 if failed else 0


def main(arguments):
    if arguments == ['--self-test']:
        return self_test()
    if not arguments or arguments[0].startswith('-'):
        print(__doc__, file=sys.stderr)
        return 2
    files = []
    for path in map(pathlib.Path, arguments):
        files += [path] if path.is_file() else sorted(
            p for p in path.rglob('*') if p.suffix in ('.cpp', '.hpp'))
    count = 0
    for file in files:
        for line, rule in findings(file.read_text()):
            print(f'{file}:{line}: {rule}')
            count += 1
    print(f'lint_coroutines: {len(files)} files, {count} findings')
    return 1 if count or not files else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
