#!/usr/bin/env python3
"""Uses what cmake --install and cpack made, as somebody else would.

usage: consume.py BUILD WORK STEP ARGUMENT...

BUILD is the tree that was built, WORK a folder of ours that may stay from one run to the next.
  install                       installs to WORK/prefix, by way of another place
  find_package C++COMPILER      builds the service with CMake and the installed package, runs it
  pkg_config C++COMPILER        the same with one line of a compiler's
  subdirectory C++COMPILER      the same as FetchContent and add_subdirectory do
  headers C++COMPILER           each installed header alone
  mismatch C++COMPILER          headers of another version do not link
  symbols                       what is exported
  deb C++COMPILER               packages, what is in them, and the service built with them
  tutorial PAGE                 the tutorial, from an empty folder
"""
import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
root = here.parent.parent
patience = 30  # seconds; no event takes this long


def say(*words):
    print(*words, flush=True)


def check(holds, words):
    if not holds:
        sys.exit(f'consume.py: {words}')


def run(*command, **options):
    """Runs it, shows what it does, fails where it fails; returns its output."""
    command = [str(word) for word in command]
    say('$', ' '.join(command))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        say(done.stdout)
        sys.exit(f'consume.py: exit {done.returncode} from: {" ".join(command)}')
    return done.stdout


@contextlib.contextmanager
def temporary():
    # Short: the name of a unix socket has to fit into 108 bytes.
    with tempfile.TemporaryDirectory(prefix='consumer-') as name:
        yield pathlib.Path(name)


def serve_once(program):
    """Starts the service, gets one answer, stops it by TERM."""
    with temporary() as folder:
        path = folder / 'socket'
        service = subprocess.Popen([program, path], stderr=subprocess.PIPE, text=True)
        try:
            seen = []
            for line in service.stderr:
                seen.append(line)
                if ' ready' in line:
                    break
            check(seen and ' ready' in seen[-1], f'{program} was never ready:\n' + ''.join(seen))
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(patience)
                client.connect(str(path))
                client.sendall(b'GET / HTTP/1.1\r\n\r\n')
                answer = b''
                while part := client.recv(4096):
                    answer += part
            check(answer.endswith(b'served\n'), f'{program} answered {answer}')
            service.send_signal(signal.SIGTERM)
            rest = service.communicate(timeout=patience)[1]
            check(service.returncode == 0, f'{program} exits {service.returncode}:\n{rest}')
            check(not path.exists(), f'{program} left its socket behind')
        finally:
            if service.poll() is None:
                service.send_signal(signal.SIGQUIT)
                service.wait(timeout=patience)
    say(f'{program}: served, stopped, exit 0')


class Consumer:
    def __init__(self, build, work):
        self.build, self.work = pathlib.Path(build).resolve(), pathlib.Path(work).resolve()
        self.prefix = self.work / 'prefix'
        self.work.mkdir(parents=True, exist_ok=True)

    def install(self):
        # Built for one place, moved to another: nothing may remember the first.
        first = self.work / 'first'
        for old in (first, self.prefix):
            shutil.rmtree(old, ignore_errors=True)
        run('cmake', '--install', self.build, '--prefix', first)
        first.rename(self.prefix)
        for kind in ('*.pc', '*.cmake'):
            for file in self.prefix.rglob(kind):
                for place in (self.build, self.work, root):
                    check(str(place) not in file.read_text(), f'{file} names {place}')

    def with_cmake(self, source, compiler, build, *settings):
        launcher = shutil.which('ccache')
        run('cmake', '-G', 'Ninja', '-S', source, '-B', build, f'-DCMAKE_CXX_COMPILER={compiler}',
            *([f'-DCMAKE_CXX_COMPILER_LAUNCHER={launcher}'] if launcher else []), *settings)
        run('cmake', '--build', build)
        serve_once(build / 'service')
        run(build / 'policy_test')

    def find_package(self, compiler):
        self.with_cmake(here / 'find_package', compiler, self.work / f'find_package_{compiler}',
                        f'-DCMAKE_PREFIX_PATH={self.prefix}')

    def subdirectory(self, compiler):
        self.with_cmake(here / 'subdirectory', compiler, self.work / f'subdirectory_{compiler}',
                        f'-DFETCHCONTENT_SOURCE_DIR_LIBSUPERVISOR={root}')

    def flags(self, *what, prefix=None, package='libsupervisor'):
        folders = [str(p.parent) for p in (prefix or self.prefix).rglob('libsupervisor.pc')]
        check(len(folders) == 1, f'libsupervisor.pc is in {folders}')
        return run('pkg-config', *what, package,
                   env={**os.environ, 'PKG_CONFIG_PATH': folders[0]}).split()

    def pkg_config(self, compiler, prefix=None):
        program = (prefix or self.work) / f'pkg_config_{compiler}'
        for link in ([], ['--static']):
            check(self.flags('--libs', *link, prefix=prefix), 'no libraries')
        run(*self.cached(compiler), '-std=c++20', '-Wall', '-Wextra', '-Werror',
            *self.flags('--cflags', prefix=prefix), '-c', here / 'service.cpp', '-o', f'{program}.o')
        run(compiler, f'{program}.o', '-o', program, *self.flags('--libs', prefix=prefix))
        serve_once(program)
        test = f'{program}_test'
        run(*self.cached(compiler), '-std=c++20', *self.flags('--cflags', prefix=prefix), '-c',
            here / 'policy_test.cpp', '-o', f'{test}.o')
        run(compiler, f'{test}.o', '-o', test,
            *self.flags('--libs', prefix=prefix, package='libsupervisor-simulation'))
        run(test)

    @staticmethod
    def cached(compiler):
        return ['ccache', compiler] if shutil.which('ccache') else [compiler]

    def headers(self, compiler):
        flags = self.flags('--cflags')
        headers = sorted((self.prefix / 'include/supervisor').glob('*.hpp'))
        check(len(headers) > 10, f'{len(headers)} headers are installed')

        def alone(header):
            return subprocess.run([compiler, '-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Wpedantic', '-Werror',
                                   *flags, '-x', 'c++', '-'], input=f'#include <supervisor/{header.name}>\n',
                                  capture_output=True, text=True)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for header, done in zip(headers, pool.map(alone, headers)):
                check(done.returncode == 0, f'{header} does not compile alone:\n{done.stderr}')
        bare = [flag for flag in flags if not flag.startswith('-DBOOST')]
        told = subprocess.run([compiler, '-std=c++20', '-fsyntax-only', *bare, '-x', 'c++', '-'],
                              input='#include <supervisor/prefork.hpp>\n', capture_output=True, text=True)
        check(told.returncode != 0 and 'pkg-config --cflags libsupervisor' in told.stderr,
              f'without the flags nothing is said:\n{told.stderr}')
        say(f'{len(headers)} headers, each alone')

    def mismatch(self, compiler):
        with temporary() as folder:
            shutil.copytree(self.prefix / 'include', folder / 'include')
            version = folder / 'include/supervisor/version.hpp'
            other = re.sub(r'(VERSION_MINOR) \d+', r'\1 999', version.read_text())
            check(other != version.read_text(), 'no minor version was found')
            version.write_text(other)
            source = folder / 'x.cpp'
            source.write_text('#include <supervisor/version.hpp>\nint main() {}\n')
            told = subprocess.run([compiler, '-std=c++20', source, '-I', folder / 'include', '-o', folder / 'x',
                                   *self.flags('--cflags', '--libs')], capture_output=True, text=True)
            check(told.returncode != 0 and 'library_0_999_with_boost' in told.stderr,
                  f'headers of another version link:\n{told.stderr}')
        say('headers of another version do not link')

    def symbols(self):
        archive, = self.prefix.rglob('libsupervisor.a')
        shown = [line.split() for line in run('readelf', '-sW', archive).splitlines()]
        # Num: Value Size Type Bind Visibility Section Name
        ours = [s for s in shown if len(s) >= 8 and s[4] in ('GLOBAL', 'WEAK') and s[6] != 'UND'
                and re.match(r'_Z(T[VTIS])?NK?10supervisor', s[7])]
        check(len(ours) > 100, f'only {len(ours)} names of ours in {archive}')
        visible = {s[7] for s in ours if s[5] != 'HIDDEN'}
        check(not visible, f'{len(visible)} names are visible in {archive}, such as {sorted(visible)[:5]}')
        for program in [*(self.prefix / 'bin').iterdir(), *self.work.glob('pkg_config_*[0-9]')]:
            exported = run('nm', '-DC', '--defined-only', program).splitlines()
            bad = [line for line in exported if re.search(r'\b(supervisor|app|boost|fmt|CLI)::', line)]
            check(not bad, f'{program} exports {len(bad)} names, such as {bad[:5]}')
        say(f'{len(ours)} names, all hidden')

    def deb(self, compiler):
        out = self.work / 'deb'
        shutil.rmtree(out, ignore_errors=True)
        run('cpack', '--config', self.build / 'CPackConfig.cmake', '-B', out)
        packages = {file.name.split('_')[0]: file for file in out.glob('*.deb')}
        check(set(packages) == {'libsupervisor-dev', 'prefork'}, f'packages: {packages}')
        holds = {
            'prefork': ['bin/prefork', 'share/man/man1/prefork.1.gz', 'share/man/man7/prefork-control.7.gz',
                        'share/bash-completion/completions/prefork', 'share/doc/prefork/copyright',
                        'share/doc/prefork/changelog.gz', 'share/doc/prefork/changelog.Debian.gz',
                        'share/doc/prefork/examples/prefork@.service',
                        'share/doc/prefork/examples/any_language/worker.c'],
            'libsupervisor-dev': ['include/supervisor/prefork.hpp', 'lib*/libsupervisor.a',
                                  'lib*/pkgconfig/libsupervisor.pc', 'lib*/libsupervisor_simulation.a',
                                  'lib*/cmake/libsupervisor/libsupervisor-config.cmake',
                                  'share/man/man7/libsupervisor.7.gz', 'share/doc/libsupervisor-dev/copyright',
                                  'share/doc/libsupervisor-dev/changelog.gz',
                                  'share/doc/libsupervisor-dev/examples/hello.cpp']}
        depends = {'prefork': 'libc6', 'libsupervisor-dev': 'libboost-log'}
        for name, file in packages.items():
            there = out / name
            run('dpkg-deb', '-x', file, there)
            for pattern in holds[name]:
                found = list((there / 'usr').glob(pattern.replace('lib*/', 'lib/**/')))
                check(len(found) == 1, f'{file.name} has {found} for {pattern}')
            stray = [p for p in there.iterdir() if p.name != 'usr']
            check(not stray, f'{file.name} has {stray}')
            check(depends[name] in run('dpkg-deb', '-f', file, 'Depends'), f'{file.name} depends on too little')
            for field in ('Maintainer', 'Section', 'Description', 'Installed-Size'):
                check(run('dpkg-deb', '-f', file, field).strip(), f'{file.name} has no {field}')
            if shutil.which('lintian'):
                # It closes no bug of Debian's, and a tree configured for /usr/local, unlike the preset
                # package, has its .pc files in lib and not in the machine's folder below it.
                say(run('lintian', '--fail-on', 'error,warning', '--suppress-tags',
                        'initial-upload-closes-no-bugs,pkg-config-unavailable-for-cross-compilation',
                        self.with_short_archives(file)))
        check(run(out / 'prefork/usr/bin/prefork', '--version').startswith('prefork '), 'prefork --version')
        self.pkg_config(compiler, prefix=out / 'libsupervisor-dev')

    def with_short_archives(self, package):
        """For lintian, which reads every symbol of an archive first: minutes, for what symbols() looks at."""
        there = self.work / 'deb/lint'
        shutil.rmtree(there, ignore_errors=True)
        there.mkdir()
        files, short = there / 'files', there / package.name
        run('dpkg-deb', '-R', package, files)
        sums = files / 'DEBIAN/md5sums'
        for archive in files.rglob('*.a'):
            before = hashlib.md5(archive.read_bytes()).hexdigest()
            member = run('ar', 't', archive).split()[0]
            run('ar', 'x', '--output', there, archive, member)
            archive.unlink()
            run('ar', 'rcD', archive, there / member)
            sums.write_text(sums.read_text().replace(before, hashlib.md5(archive.read_bytes()).hexdigest()))
        run('dpkg-deb', '--root-owner-group', '-b', files, short)
        return short

    def tutorial(self, page):
        sys.dont_write_bytecode = True
        import tutorial
        tutorial.follow(pathlib.Path(page), self.prefix)


def main():
    build, work, step, *arguments = sys.argv[1:]
    getattr(Consumer(build, work), step)(*arguments)


main()
