#!/usr/bin/env python3
"""Makes a man page of a page of the documentation.

usage: man.py PAGE.md NAME SECTION VERSION SUMMARY OUTPUT.gz

Knows what the pages use: headings, paragraphs, lists, fenced blocks, tables, `code`, **bold**,
*emphasis* and links. A table becomes a list of its first column's cells. A fenced block before the
first ## heading is the synopsis of a page of section 1. Pictures are left to readers of the page.
"""
import gzip
import re
import sys


def escape(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return text.encode('ascii', 'xmlcharrefreplace').decode().replace("'", '\\(aq')


def inline(text):
    """Bold for code and **bold**, italics for *emphasis*; a link is its words."""
    text = re.sub(r'!?\[([^\]]*)\]\([^)]*\)', r'\1', text)
    made = ''
    for part in re.split(r'(`[^`]+`|\*\*[^*]+\*\*|(?<![\w*])\*[^*\s][^*]*\*)', text):
        if part.startswith('`') or part.startswith('**'):
            made += '\\fB' + escape(part.strip('`*')) + '\\fR'
        elif part.startswith('*') and part.endswith('*') and len(part) > 2:
            made += '\\fI' + escape(part[1:-1]) + '\\fR'
        else:
            made += escape(part)
    return made


def line(text):
    """A line of running text: one that begins like a request is none."""
    made = inline(text.strip())
    return '\\&' + made if made[:1] in ('.', "'") else made


def verbatim(lines):
    shown = [escape(each) for each in lines]
    return ['.PP', '.RS 4', '.nf', *('\\&' + s if s[:1] in ('.', "'") else s for s in shown), '.fi', '.RE']


def cells(row):
    return [cell.strip().replace('\\|', '|') for cell in re.split(r'(?<!\\)\|', row.strip())[1:-1]]


def table(rows):
    head = cells(rows[0])
    made = []
    for row in map(cells, rows[2:]):
        made += ['.TP', line(row[0]) or '\\&']
        told = [inline(row[1])] if len(row) > 1 and row[1] else []
        told += [f'{inline(name)}: {inline(cell)}' for name, cell in zip(head[2:], row[2:]) if cell]
        made.append('. '.join(told) + '.' if told else '\\&')
    return made


def joined(lines):
    """The lines of a paragraph, or of a list's item, as one: what is bold may span two."""
    made, fenced = [], False
    for now in lines:
        starts = re.match(r'```|#|\||> |([-*]|\d+\.) |\s*$', now)
        if made and not fenced and not starts and re.match(r'(?!```|#|\||> |\s*$)', made[-1]):
            made[-1] += ' ' + now.strip()
        else:
            made.append(now)
        fenced ^= now.startswith('```')
    return made


def page(text, name, section, version, summary):
    lines = joined(text.splitlines())
    made = [f'.TH "{name.upper()}" "{section}" "" "libsupervisor {version}" ""',
            '.nh', '.ad l', '.SH NAME', f'{escape(name)} \\- {escape(summary)}', '.SH DESCRIPTION']
    before_headings = True
    at = 0
    while at < len(lines):
        now = lines[at]
        at += 1
        if now.startswith('```'):
            end = at
            while not lines[end].startswith('```'):
                end += 1
            if before_headings and section == '1':
                where = made.index('.SH DESCRIPTION')
                made[where:where] = ['.SH SYNOPSIS', *verbatim(lines[at:end])[1:]]
            else:
                made += verbatim(lines[at:end])
            at = end + 1
        elif now.startswith('# '):
            continue
        elif now.startswith('## '):
            before_headings = False
            made.append('.SH ' + inline(now[3:].upper()))
        elif now.startswith('### '):
            made.append('.SS ' + inline(now[4:]))
        elif now.startswith('|'):
            end = at
            while end < len(lines) and lines[end].startswith('|'):
                end += 1
            made += table(lines[at - 1:end])
            at = end
        elif re.match(r'([-*]|\d+\.) ', now):
            mark, words = now.split(' ', 1)
            made += ['.IP "' + ('\\(bu' if mark in '-*' else mark) + '" 4', line(words)]
        elif now.startswith('> '):
            made += ['.PP', '.RS 4', line(now[2:]), '.RE']
        elif now.strip().startswith('!['):
            continue
        elif not now.strip():
            made.append('.PP')
        else:
            made.append(line(now))
    # A paragraph's mark is for text that follows: not for another mark.
    kept = [each for each, after in zip(made, made[1:] + ['.'])
            if each != '.PP' or not re.match(r'\.(PP|SH|SS|TP|IP|$)', after)]
    return '\n'.join(kept) + '\n'


def main():
    source, name, section, version, summary, output = sys.argv[1:]
    with open(source) as file:
        text = page(file.read(), name, section, version, summary)
    # No time in it: what is built twice is the same.
    with open(output, 'wb') as file, gzip.GzipFile('', 'wb', 9, file, 0) as packed:
        packed.write(text.encode())


main()
