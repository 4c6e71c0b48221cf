#!/usr/bin/env python3
"""Runs the commands of README.md and of the documentation's pages against a master.

usage: commands.py PREFORK BUILD

A command is a line of an sh block, a line of an unnamed block that begins with one of our programs, or a
code span that does. One that would start a master of its own is told that there is one already: then its
command line was understood. What would build or install is compared with the project's presets and
targets; other tests run it. The tutorial's are all run, by tutorial.py.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from tutorial import BLOCK, free_port  # noqa: E402

root = pathlib.Path(__file__).resolve().parent.parent.parent
OURS = r'(prefork (run|status|top|scale|reload|upgrade|restart|signal|stop)\b|(/bin/)?kill -|curl |c?make |cmake/|tests/bench/(run|zero_loss) )'
# What pages leave to the reader.
NAMES = {'SLOT': '0', 'SIGNAL': 'USR1', 'TIME': '1', 'N': '2', 'DIR': '/nowhere', 'FILE': '/nowhere',
         'WORDS': 'transient', 'PROBE': 'exec:true'}
# Code spans that name a verb, and are no command: it wants to be told what.
VERBS = r'prefork (scale|restart|signal)'
patience = 60  # seconds
failures = []


def commands():
    """Each command, with the page and the line."""
    for page in [root / 'README.md', *sorted((root / 'libsupervisor/doc').glob('*.md'))]:
        if page.name == 'tutorial.md':
            continue
        text = page.read_text()
        for block in BLOCK.finditer(text):
            first = text.count('\n', 0, block.start()) + 2
            for number, line in enumerate(block[2].splitlines(), first):
                if block[1] == 'sh' or (not block[1] and re.match(OURS, line)):
                    yield f'{page.name}:{number}', re.split(r'\s+#| {3,}', line)[0].strip()
        prose = BLOCK.sub(lambda match: '\n' * match[0].count('\n'), text)
        for span in re.finditer(r'`([^`\n]+)`', prose):
            if re.match(OURS, span[1]) and ' ' in span[1] and not re.fullmatch(VERBS, span[1]):
                yield f'{page.name}:{prose.count(chr(10), 0, span.start()) + 1}', span[1]


class Master:
    """One under its default name, there whenever a command asks for it."""

    def __init__(self, prefork, folder):
        self.port, self.folder, self.process = free_port(), pathlib.Path(folder), None
        for name in ('server', 'program', 'worker', 'worker.py', 'gunicorn', 'nginx'):  # that pages let prefork run
            (self.folder / name).touch(0o755)
        page = (root / 'libsupervisor/doc/configuration.md').read_text()
        (self.folder / 'shop.toml').write_text(re.search(r'^```toml\n(.*?)^```', page, re.M | re.S)[1])
        self.environment = {**os.environ, 'XDG_RUNTIME_DIR': str(folder), 'LC_ALL': 'C', 'TERM': 'dumb',
                            'PATH': f'{prefork.parent}:{folder}:{os.environ["PATH"]}'}

    def need(self):
        if self.process and self.process.poll() is None:
            return
        self.process = subprocess.Popen(['prefork', 'run', '-b', f'127.0.0.1:{self.port}'], env=self.environment,
                                        stderr=subprocess.PIPE, text=True)
        ready = 0
        for line in self.process.stderr:
            ready += ' ready' in line
            if ready == 2:
                break
        # Nobody reads its log any more; it goes on without.
        self.environment['pid'] = str(self.process.pid)

    def run(self, command):
        self.need()
        done = subprocess.run(['bash', '-c', command], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, timeout=patience)
        if command.startswith('prefork stop'):
            self.process.wait(patience)
        return done

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(patience)


def expect(holds, where, words):
    if not holds:
        failures.append(f'{where}: {words}')


def filled(command, master):
    """With the reader's choices made: the first of each, and everything that is optional."""
    if ' -- ' not in command:
        command = re.sub(r'[\[\]]', '', command)
        command = re.sub(r'(?<=[\w-])(\|[\w+-]+)+', '', command)
        command = re.sub(r'\b[A-Z]{1,6}\b', lambda name: NAMES.get(name[0], name[0]), command)
    command = command.replace('PATH', f'{master.folder}/prefork/prefork.sock')
    return command.replace('8080', master.port)


def builds(command, build):
    """Whether what a command builds, packages or measures is there."""
    known = json.loads((root / 'CMakePresets.json').read_text())
    for kind, option in (('workflow', '--workflow --preset'), ('configure', '--install build/|--build build/')):
        for name in re.findall(rf'(?:{option})\s?(\w+)', command):
            if name not in [preset['name'] for preset in known[f'{kind}Presets']]:
                return False
    target = re.search(r'--target (\w+)', command)
    if target:
        return subprocess.run(['cmake', '--build', build, '--target', target[1], '--', '-n'],
                              capture_output=True).returncode == 0
    return True


def follow(where, command, master, build):
    if command.startswith('cmake/bootstrap'):
        verb = command.split()[1]
        return expect(f'  {verb})\n' in (root / 'cmake/bootstrap').read_text(), where, f'bootstrap has no {verb}')
    if command.startswith('cmake '):
        return expect(builds(command, build), where, f'no such preset or target: {command}')
    if command.startswith('tests/bench/'):
        program = command.split()[0]
        told = subprocess.run([root / program, '--help'], capture_output=True, text=True).stdout
        words = re.findall(r'--\w+', command) + re.findall(r'\w+', (command + ' --only ').split('--only ')[1])
        return expect(all(word in told for word in words), where, f'{program} has not all of {words}')
    if command.startswith('alias prefork='):
        return expect('/build/release/apps/prefork/prefork' in command, where, 'prefork is elsewhere')
    done = master.run(filled(command, master))
    verb = command.split()[1] if command.startswith('prefork ') else ''
    # Another master is there; no terminal is; a signal before may still be at work.
    wanted = {'run': [10], 'top': [2], 'status': [0, 5]}.get(verb, [0])
    understood = done.returncode in wanted and (verb != 'top' or 'terminal' in done.stderr)
    expect(understood, where, f'exit {done.returncode} from: {command}\n{done.stdout}{done.stderr}')


def main():
    prefork, build = (pathlib.Path(each).resolve() for each in sys.argv[1:])
    if not shutil.which('curl'):
        print('curl is not installed')
        sys.exit(77)  # ctest's skip
    count = 0
    with tempfile.TemporaryDirectory(prefix='pages-') as folder:
        master = Master(prefork, folder)
        try:
            for where, command in commands():
                print(f'{where}: {command}', flush=True)
                follow(where, command, master, build)
                count += 1
        finally:
            master.end()
    print(f'{count} commands')
    expect(count > 20, 'pages', f'only {count} commands are found')
    print(*failures, sep='\n')
    sys.exit(1 if failures else 0)


main()
