#!/usr/bin/env python3
"""Checks that each source file includes only what its room may know, and fits a sitting.

usage: lint_rooms.py [ROOT]

A room is a folder below libsupervisor/src; public headers are everybody's. The composition root
(the files of src itself) and the tests may include anything.
"""
import pathlib
import re
import sys

MAY_INCLUDE = {
    'host': set(),
    'kernel': set(),
    'supervision': {'host'},
    'control': {'supervision', 'host'},
    'process': {'kernel', 'host'},
    'keeper': {'kernel'},
    'simulation': {'supervision', 'host'},
    'worker': {'kernel'},
}
# What a mold hands to the worker that it forks: data, and the only thing these rooms share.
HANDED_OVER = {('process', 'worker/boot.hpp')}
MOST_LINES = 450
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
HIDDEN = re.compile(r'boost/(process|log)([/.]|$)')


def room_of(path):
    """The room, '' for the composition root, None for what has no rule; paths from the root."""
    parts = path.parts
    if parts[:2] == ('libsupervisor', 'include'):
        return 'public'
    if parts[:2] == ('libsupervisor', 'src'):
        return parts[2] if len(parts) > 3 else ''
    return 'apps' if parts[0] == 'apps' else None


def objection(room, own, system, root, path):
    """Why this include is not allowed; empty where it is."""
    if room is None or room == '':
        return ''
    if room == 'public' and HIDDEN.match(system or ''):
        return 'a public header shows Boost.Process or Boost.Log'
    if not own or own.startswith('supervisor/'):
        return ''
    target = own.split('/')[0]
    if (root / 'libsupervisor/src' / own).is_file() and target in MAY_INCLUDE:
        if room == 'public':
            return 'a public header includes one that is not'
        if room == 'apps':
            return '' if target == 'control' else f'an app includes a header of {target}'
        if target != room and target not in MAY_INCLUDE.get(room, set()) and \
                (room, own) not in HANDED_OVER:
            return f'{room} includes a header of {target}'
        return ''
    # Beside the file, or at the root of the app.
    if room in ('public', *MAY_INCLUDE) and not (path.parent / own).is_file():
        return 'no such header in any room'
    return 'a public header includes one that is not' if room == 'public' else ''


def check(root, path):
    text = path.read_text()
    name = path.relative_to(root)
    room = room_of(name)
    if room and room not in ('public', 'apps') and room not in MAY_INCLUDE:
        yield f'{name}:1: {room} is no room'
    for match in INCLUDE.finditer(text):
        reason = objection(room, match[1], match[2], root, path)
        if reason:
            line = text.count('\n', 0, match.start()) + 1
            yield f'{name}:{line}: {reason}: {match[1] or match[2]}'
    lines = text.count('\n')
    if lines > MOST_LINES:
        yield f'{name}:{lines}: more than {MOST_LINES} lines'


def main(arguments):
    root = pathlib.Path(arguments[0] if arguments else pathlib.Path(__file__).parent.parent)
    files = [p for top in ('libsupervisor', 'apps', 'tests', 'cmake')
             for p in sorted((root / top).rglob('*'))
             if p.is_file() and p.suffix in ('.cpp', '.hpp', '.py', '.cmake', '')]
    found = [f for file in files for f in check(root, file)]
    print(*found, f'lint_rooms: {len(files)} files, {len(found)} findings', sep='\n')
    return 1 if found or not files else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
