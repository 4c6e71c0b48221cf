#!/usr/bin/env python3
"""Checks what people read of prefork against prefork itself.

usage: documents.py CHECK PREFORK BUILD
  options   the completion offers, and prefork.md and its man page tell, exactly the verbs and options there are
  man       every man page is made without a warning
  unit      systemd takes the example unit as it stands
  links     what the pages link to is there, in the tree and as installed
"""
import gzip
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
failures = []


def expect(holds, words):
    if not holds:
        failures.append(words)


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def complete(prefork, *words):
    """What bash offers for the last of these words."""
    script = ('PATH=$1:$PATH; source "$2"; shift 2; COMP_WORDS=(prefork "$@"); COMP_CWORD=$#; _prefork;'
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return set(output('bash', '-c', script, 'bash', prefork.parent, root / 'apps/prefork/prefork.bash',
                      *words).split())


def options(prefork, build):
    told = output(prefork, '--help')
    verbs = set(re.findall(r'^  ([a-z]\S*)', told[told.index('\nSubcommands:'):told.index('\nExit codes')], re.M))
    expect('run' in verbs and len(verbs) > 5, f'prefork --help tells of {verbs} only')
    expect(complete(prefork, '') == verbs | {'--help', '--version'},
           f'the completion offers {complete(prefork, "")}, prefork has {verbs}')
    page = (root / 'libsupervisor/doc/prefork.md').read_text()
    manual = gzip.open(build / 'install/prefork.1.gz', 'rt').read().replace('\\-', '-')
    known = {'--help', '--version'}
    for verb in sorted(verbs):
        of_verb = set(re.findall(r'^  (?:-\w,)?(--[a-z-]+)', output(prefork, verb, '--help'), re.M))
        expect(len(of_verb) > 3 or of_verb == {'--help'}, f'prefork {verb} --help tells of {of_verb} only')
        offered = complete(prefork, verb, '--') - {'--'}
        expect(offered == of_verb, f'prefork {verb}: the completion differs in {offered ^ of_verb}')
        known |= of_verb
        for text, name in ((page, 'prefork.md'), (manual, 'prefork.1')):
            expect(re.search(rf'\bprefork {verb}\b', text), f'{name} does not tell of prefork {verb}')
            for option in sorted(of_verb - {'--help'}):
                expect(re.search(rf'{option}(?![a-z-])', text), f'{name} does not tell of {option} of prefork {verb}')
    prose = re.sub(r'^```.*?^```', '', page, flags=re.M | re.S)
    for option in re.findall(r'`[^`]*?(--[a-z][a-z-]*)', prose):
        expect(option in known, f'prefork.md tells of {option}, which there is not')


def man(prefork, build):
    pages = sorted((build / 'install').glob('*.[0-9].gz'))
    expect(len(pages) >= 5, f'man pages: {pages}')
    for page in pages:
        done = subprocess.run(['man', '--warnings', '-l', page], capture_output=True, text=True)
        expect(done.returncode == 0 and not done.stderr, f'{page.name}: {done.stderr}')
        expect(re.search(r'^NAME\n +\S+ - \S', done.stdout, re.M), f'{page.name}: no name')


def unit(prefork, build):
    text = (root / 'apps/examples/prefork@.service').read_text()
    expect(text.count('/usr/bin/prefork') == 2, 'the unit does not start /usr/bin/prefork')
    with tempfile.TemporaryDirectory() as folder:
        instance = pathlib.Path(folder) / 'prefork@shop.service'
        instance.write_text(text.replace('/usr/bin/prefork', str(prefork)))
        done = subprocess.run(['systemd-analyze', 'verify', '--man=no', instance], capture_output=True, text=True)
        # It reads the machine's own units, too, and says what is wrong with those by their paths.
        said = [line for line in (done.stdout + done.stderr).splitlines()
                if line.strip() and not re.match(r'/(usr/)?(lib|etc)/systemd/', line)]
        expect(done.returncode == 0 and not said, '\n'.join(said) or done.stderr)


def links_of(page):
    prose = re.sub(r'^```.*?^```|`[^`\n]*`', '', page.read_text(), flags=re.M | re.S)
    return [link for link in re.findall(r'\]\(([^)\s]+)\)', prose) if '://' not in link]


def anchors(page):
    headings = re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    return {re.sub(r'[^\w\- ]', '', words.lower()).replace(' ', '-') for words in headings}


def links(prefork, build):
    with tempfile.TemporaryDirectory() as folder:
        output('cmake', '--install', build, '--prefix', folder, '--component', 'dev')
        installed = sorted(pathlib.Path(folder).rglob('*.md'))
        written = [root / 'README.md', root / 'CHANGELOG.md', *(root / 'libsupervisor/doc').glob('*.md')]
        for pages, least in ((written, 40), (installed, 20)):
            known = 0
            for page in pages:
                for link in links_of(page):
                    path, _, anchor = link.partition('#')
                    to = page.parent / path if path else page
                    expect(to.exists(), f'{page}: there is no {link}')
                    if to.is_file() and anchor:
                        expect(anchor in anchors(to), f'{page}: nothing is called {link}')
                    known += 1
            expect(known >= least, f'{len(pages)} pages have {known} links only')


def main():
    check, prefork, build = sys.argv[1:]
    tool = {'man': 'man', 'unit': 'systemd-analyze', 'options': 'bash', 'links': 'cmake'}[check]
    if not shutil.which(tool):
        print(f'{tool} is not installed')
        sys.exit(77)  # ctest's skip
    globals()[check](pathlib.Path(prefork).resolve(), pathlib.Path(build).resolve())
    print(*failures, sep='\n')
    sys.exit(1 if failures else 0)


main()
