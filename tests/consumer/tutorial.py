"""Follows a page: writes the files it gives, runs its commands as they stand, compares what comes.

A block whose first line is a comment with a file's name is that file; an sh block is run in one
shell that lives as long as the page; a block without a language right after it is what was printed,
where any number stands for any other, and spaces for spaces.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

BLOCK = re.compile(r'^```(\w*)\n(.*?)^```$', re.M | re.S)
NAMED = re.compile(r'\A(?://|#) (\S+\.\w+)\n')
patience = 120  # seconds; the longest command compiles


def free_port():
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        return str(taken.getsockname()[1])


def shape(text):
    """Numbers are any numbers: of processes, times, versions."""
    lines = [re.sub(r' +', ' ', re.sub(r'\d+', 'N', line)).strip() for line in text.strip().splitlines()]
    return [line for line in lines if line]


def blocks(text):
    previous_end = None
    for match in BLOCK.finditer(text):
        line = text.count('\n', 0, match.start()) + 1
        yield match[1], match[2], line, text[previous_end:match.start()].strip() == '' if previous_end else False
        previous_end = match.end()


def follow(page, prefix):
    port = free_port()
    text = page.read_text().replace('8080', port)
    with tempfile.TemporaryDirectory(prefix='tutorial-') as name:
        folder = pathlib.Path(name)
        environment = {**os.environ, 'CMAKE_PREFIX_PATH': str(prefix), 'LC_ALL': 'C',
                       'PATH': f'{prefix}/bin:{os.environ["PATH"]}'}
        shell = subprocess.Popen(['bash'], cwd=folder, env=environment, stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 start_new_session=True)

        def give_up(*_):
            sys.exit(f'{page.name}: a command does not end')

        signal.signal(signal.SIGALRM, give_up)
        try:
            walk(page, text, folder, shell)
            shell.stdin.write('wait\n')  # a master has answered before it is gone itself
            shell.stdin.close()
            if shell.wait(timeout=patience) != 0:
                sys.exit(f'{page.name}: the shell ends with {shell.returncode}')
        finally:
            signal.alarm(0)
            try:
                os.killpg(shell.pid, signal.SIGKILL)
                left = True
            except ProcessLookupError:
                left = False
        if left and sys.exc_info()[0] is None:
            sys.exit(f'{page.name}: leaves a process behind')


def walk(page, text, folder, shell):
    files = commands = 0
    printed = None
    for language, body, line, follows in blocks(text):
        where = f'{page.name}:{line}'
        named = NAMED.match(body)
        if language == 'sh':
            printed = run(shell, body, where)
            commands += 1
        elif named:
            (folder / named[1]).write_text(body)
            files += 1
        elif not language and follows and printed is not None:
            if shape(body) != shape(printed):
                sys.exit(f'{where}: the page says\n{body}but it prints\n{printed}')
        else:
            sys.exit(f'{where}: neither a file, nor commands, nor what they print')
    if not files or not commands:
        sys.exit(f'{page.name}: {files} files and {commands} blocks of commands: is this a tutorial?')
    print(f'{page.name}: {files} files written, {commands} blocks of commands run')


def run(shell, body, where):
    """Runs a block's commands, stopping at the first that fails."""
    for command in body.strip().splitlines():
        print('$', command, flush=True)
        shell.stdin.write(f'{command}\necho "=== done $?"\n')
    shell.stdin.flush()
    printed, left = '', len(body.strip().splitlines())
    signal.alarm(patience)
    while left:
        line = shell.stdout.readline()
        if not line:
            sys.exit(f'{where}: the shell ended:\n{printed}')
        if line.startswith('=== done '):
            left -= 1
            if line.split()[-1] != '0':
                sys.exit(f'{where}: exit {line.split()[-1]}:\n{printed}')
        else:
            printed += line
    signal.alarm(0)
    print(printed, end='', flush=True)
    return printed
