/**
 * Checks the sentences of comments and pages: a sentence has at most 25 words, and no docstring begins with "Of".
 *
 * A full stop, a question mark or an exclamation mark ends a sentence; a colon or a semicolon ends none. Some things are
 * one word each: an inline code span, a link, a number, and a list of four or more single words between commas. Every
 * paragraph, list item, heading and table cell stands alone. Code blocks are not read.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAX_WORDS = 25;
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const FOLDERS = ['src', 'test', 'bench', 'support', 'migrations', 'docs'];
const PAGES = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'];
/** Files whose descriptions are prose, too: they become pages of the API. */
const DESCRIBING = /^src\/http\//;
/** What stands before a string that describes something to readers of the API. */
const DESCRIBES = /(?:\b(?:description|summary):|\.describe\(|\b\w*DESCRIPTION =)$/;
/** Full stops that end no sentence. */
const ABBREVIATION = /\b(?:e\.g|i\.e|etc|vs|cf|approx|resp|no)\.$/i;
/** After these a slash begins a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|do|else|void|delete|await|yield))$/;

/** Files of a folder, at any depth. */
function filesIn(folder) {
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

/**
 * Comments and strings of a TypeScript or JavaScript text.
 * @returns a list of `{ kind: 'doc' | 'comment' | 'string', text, line }`; `//` lines that follow each other are one comment.
 */
export function readSource(text) {
  const found = [];
  // What the template literals around have open: the number of braces within each.
  const templates = [];
  let line = 1;
  let code = '';
  let at = 0;
  const step = (to) => {
    for (; at < to; at++) if (text[at] === '\n') line++;
  };
  const readString = (quote) => {
    let end = at + 1;
    while (end < text.length && text[end] !== quote && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1;
    return end;
  };
  const readTemplate = (from) => {
    let end = from;
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1;
    return end;
  };
  const addString = (value, start) => {
    const last = found.at(-1);
    // Pieces that a plus sign joins are one text.
    if (last?.kind === 'string' && code.trim() === '+') last.text += value;
    else found.push({ kind: 'string', text: value, line: start, describes: DESCRIBES.test(code.trimEnd()) });
    code = '';
  };
  while (at < text.length) {
    const [char, next] = [text[at], text[at + 1]];
    if (char === '/' && next === '/') {
      const end = text.indexOf('\n', at) < 0 ? text.length : text.indexOf('\n', at);
      const words = text.slice(at + 2, end);
      const last = found.at(-1);
      const isAlone = text.slice(text.lastIndexOf('\n', at) + 1, at).trim() === '';
      if (isAlone && last?.kind === 'comment' && last.isAlone && last.lastLine === line - 1) {
        last.text += `\n${words}`;
        last.lastLine = line;
      } else found.push({ kind: 'comment', text: words, line, isAlone, lastLine: line });
      step(end);
    } else if (char === '/' && next === '*') {
      const end = text.indexOf('*/', at + 2);
      const isDoc = text[at + 2] === '*';
      found.push({
        kind: isDoc ? 'doc' : 'comment',
        text: text.slice(at + (isDoc ? 3 : 2), end).replace(/^[ \t]*\*/gm, ''),
        line,
      });
      step(end + 2);
    } else if (char === "'" || char === '"') {
      const end = readString(char);
      addString(unescaped(text.slice(at + 1, end)), line);
      step(end + 1);
    } else if (char === '`' || (char === '}' && templates.at(-1) === 0)) {
      if (char === '}') templates.pop();
      const start = line;
      const end = readTemplate(at + 1);
      const value = unescaped(text.slice(at + 1, end));
      if (char === '}') {
        // The text goes on after an expression, which counts as one word.
        const last = found.findLast((each) => each.kind === 'string' && each.isOpen);
        if (last) last.text += `\`code\`${value}`;
      } else {
        addString(value, start);
        found.at(-1).isOpen = true;
      }
      if (text[end] === '`') {
        const last = found.findLast((each) => each.kind === 'string' && each.isOpen);
        if (last) last.isOpen = false;
        step(end + 1);
      } else {
        templates.push(0);
        step(end + 2);
      }
      code = text[end] === '`' ? '' : '(';
    } else if (char === '/' && BEFORE_REGEX.test(code.trimEnd())) {
      let end = at + 1;
      // One that does not end on its line is none: tags of JSX have slashes, too.
      for (let inClass = false; end < text.length && text[end] !== '\n' && (text[end] !== '/' || inClass); end++) {
        if (text[end] === '\\') end++;
        else if (text[end] === '[') inClass = true;
        else if (text[end] === ']') inClass = false;
      }
      code = 'x';
      step(end + 1);
    } else {
      if (char === '{' && templates.length > 0) templates[templates.length - 1]++;
      if (char === '}' && templates.length > 0) templates[templates.length - 1]--;
      code += char;
      step(at + 1);
    }
  }
  return found;
}

function unescaped(text) {
  return text.replace(/\\n/g, '\n').replace(/\\(.)/g, '$1');
}

/** Comments of a Python text: lines of `#` that follow each other are one. */
function readPython(text) {
  const found = [];
  text.split('\n').forEach((each, i) => {
    const match = /^\s*#\s?(.*)$/.exec(each);
    if (match === null) return;
    if (found.at(-1)?.lastLine === i)
      Object.assign(found.at(-1), { lastLine: i + 1, text: `${found.at(-1).text}\n${match[1]}` });
    else found.push({ kind: 'comment', text: match[1], line: i + 1, lastLine: i + 1 });
  });
  return found;
}

/**
 * Parts of a page or comment that stand alone: paragraphs, list items, headings and table cells.
 * @returns a list of `{ text, line }`, without code blocks.
 */
export function blocksOf(text, firstLine = 1) {
  const blocks = [];
  let open = null;
  let fence = null;
  const close = () => {
    open = null;
  };
  const add = (words, line) => {
    if (open === null) blocks.push((open = { text: '', line }));
    open.text += ` ${words}`;
  };
  text.split('\n').forEach((whole, i) => {
    const each = whole.trim();
    const line = firstLine + i;
    if (fence !== null) {
      if (each.startsWith(fence)) fence = null;
      return;
    }
    const opening = /^(`{3,}|~{3,})/.exec(each);
    if (opening) {
      fence = opening[1];
      close();
    } else if (each === '' || /^[-=|: ]+$|^──/.test(each)) close();
    else if (each.startsWith('|')) {
      close();
      for (const cell of each.replace(/`[^`]*`/g, '`code`').split('|')) {
        add(cell, line);
        close();
      }
    } else if (/^(#+|[-*+]|\d+[.)]|@\w+)\s/.test(each)) {
      close();
      add(each.replace(/^(#+|[-*+]|\d+[.)]|@\w+)\s+/, ''), line);
      if (each.startsWith('#')) close();
    } else add(each, line);
  });
  return blocks;
}

/** The sentences of a block, with code spans and links made one word each. */
export function sentencesOf(text) {
  const plain = text
    .replace(/(`+)[\s\S]*?\1/g, 'code')
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/<?https?:\/\/[^\s>)]+>?/g, 'link')
    .replace(/\{@link ([^}]*)\}/g, 'code')
    .replace(/\*\*|__/g, '')
    .replace(/(?:[^\s,;:.]+, ){3,}(?:(?:and|or) )?[^\s,;:.]+/g, 'list');
  const sentences = [];
  let open = [];
  for (const word of plain.split(/\s+/)) {
    if (!/[\p{L}\p{N}]/u.test(word)) continue;
    open.push(word);
    if (/[.?!]["'”’)\]]*$/.test(word) && !ABBREVIATION.test(word)) {
      sentences.push(open);
      open = [];
    }
  }
  if (open.length > 0) sentences.push(open);
  return sentences;
}

/** What is wrong in one file: a list of `{ line, problem }`. */
export function problemsOf(path, text) {
  const problems = [];
  const read = (block, isDocstring) => {
    if (isDocstring && /^\s*Of\b/.test(block.text)) problems.push({ line: block.line, problem: 'begins with "Of"' });
    for (const words of sentencesOf(block.text)) {
      if (words.length <= MAX_WORDS) continue;
      problems.push({ line: block.line, problem: `${words.length} words: ${words.slice(0, 12).join(' ')} …` });
    }
  };
  if (extname(path) === '.md') for (const block of blocksOf(text)) read(block, false);
  else {
    const found = extname(path) === '.py' ? readPython(text) : readSource(text);
    for (const each of found) {
      if (each.kind === 'string' && !(each.describes && DESCRIBING.test(path))) continue;
      blocksOf(each.text, each.line).forEach((block, i) => read(block, i === 0 && each.kind !== 'comment'));
    }
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const paths = [
    ...FOLDERS.flatMap((folder) => filesIn(join(root, folder))),
    ...PAGES.map((page) => join(root, page)).filter((path) => existsSync(path)),
  ].filter((path) => /\.(tsx?|js|py|md)$/.test(path));
  let count = 0;
  for (const path of paths) {
    const name = relative(root, path).split(sep).join('/');
    for (const { line, problem } of problemsOf(name, readFileSync(path, 'utf8'))) {
      process.stderr.write(`${name}:${line} ${problem}\n`);
      count++;
    }
  }
  if (count > 0) {
    process.stderr.write(
      `${count} sentences to mend: at most ${MAX_WORDS} words, and no docstring begins with "Of".\n`,
    );
    process.exitCode = 1;
  }
}
