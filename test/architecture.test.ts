/** The rooms of src and who may import whom. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { projectRoot } from './support/project-root.ts';

const SRC = join(projectRoot(), 'src');

/** Rooms a room may import besides itself. */
const ARROWS: Record<string, readonly string[]> = {
  core: [],
  formats: ['core'],
  catalog: ['core'],
  storage: ['core'],
  flows: ['catalog', 'storage', 'formats', 'core'],
  jobs: ['flows', 'core'],
  http: ['flows', 'formats', 'core'],
  main: ['http', 'jobs', 'flows', 'catalog', 'storage', 'formats', 'core'],
  // It runs in a browser, and asks over HTTP.
  web: [],
};

/**
 * Rooms within a room that one of them may import. All may import the files that stand in the room itself, unless it
 * says so below.
 */
const INNER_ARROWS: Record<string, Record<string, readonly string[]>> = {
  core: {
    numbers: [],
    signal: ['numbers'],
    tags: ['signal', 'numbers'],
    rows: ['signal', 'numbers'],
    overview: ['rows', 'signal', 'numbers'],
    upkeep: ['rows', 'signal', 'numbers'],
    influxql: [],
  },
  formats: {
    binary: [],
    text: ['binary'],
    'line-protocol': [],
    samples: ['text', 'binary'],
    tables: ['samples', 'text', 'binary'],
    recordings: ['samples', 'text', 'binary'],
    exports: ['samples', 'recordings', 'binary', 'text'],
  },
  catalog: {
    people: [],
    chunks: [],
    series: [],
    appends: ['chunks'],
    search: ['series'],
    tags: ['search', 'series'],
    read: ['series', 'chunks'],
    shards: ['series', 'appends', 'read', 'chunks'],
  },
  storage: {
    folder: [],
    threads: [],
    queue: ['folder'],
    hdf5: ['folder'],
    codec: ['hdf5'],
    survey: ['codec', 'hdf5'],
    shard: ['codec', 'hdf5', 'folder'],
    read: ['shard', 'codec', 'folder'],
    export: ['codec', 'threads', 'folder'],
  },
  flows: {
    people: [],
    series: [],
    share: ['people', 'series'],
    read: ['series'],
    append: ['series', 'read'],
    ingest: ['append', 'series'],
    overview: ['series', 'read'],
    table: ['series', 'read', 'overview'],
    live: ['append', 'read', 'series'],
    rewrite: ['read'],
    flush: ['rewrite'],
    compact: ['flush', 'rewrite', 'append', 'series'],
    influxql: ['table', 'read', 'people'],
    close: ['read', 'series'],
    repair: ['compact', 'close', 'rewrite', 'series'],
    import: ['append', 'series'],
    export: ['read', 'series'],
    threads: ['append', 'ingest', 'read', 'overview', 'table', 'close'],
  },
  http: {
    body: [],
    wire: ['body'],
    request: ['wire', 'body'],
    routes: ['request', 'wire', 'body'],
  },
  main: {
    process: [],
    postgres: ['process'],
    client: ['process'],
    importing: ['client', 'process'],
    push: ['process'],
    commands: ['importing', 'push', 'client', 'postgres', 'process'],
    demo: ['importing', 'process'],
  },
  web: {
    door: [],
    find: ['door'],
    see: [],
    service: [],
    trust: ['find', 'door'],
  },
};

/** Rooms whose own files put together what the rooms within have: these import none of them. */
const ASSEMBLED = ['http', 'main'];

/** Packages that have one owner. */
const OWNERS: Record<string, string> = {
  'h5wasm/node': 'storage',
  h5wasm: 'storage',
  'node:worker_threads': 'storage',
  piscina: 'storage',
  kysely: 'catalog',
  pg: 'catalog',
  bullmq: 'jobs',
  ioredis: 'jobs',
  express: 'http',
  mqtt: 'main',
};

interface Import {
  readonly file: string;
  readonly room: string;
  readonly specifier: string;
  readonly isType: boolean;
}

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.tsx?$/.test(path)) yield path;
  }
}

const imports: Import[] = [...sources(SRC)].flatMap((path) => {
  const text = readFileSync(path, 'utf8');
  const file = relative(SRC, path);
  return [
    ...text.matchAll(
      /^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|^import\s+'([^']+)'/gm,
    ),
  ].map((match) => ({
    file,
    room: file.split('/')[0],
    specifier: match[2] ?? match[3] ?? match[4],
    isType: match[1] !== undefined,
  }));
});

function targetOf({ file, specifier }: Pick<Import, 'file' | 'specifier'>): string {
  return relative(SRC, resolve(SRC, dirname(file), specifier));
}

function roomOf(each: Import): string {
  return targetOf(each).split('/')[0];
}

/** The room within the room; null of a file that stands in the room itself. */
function innerOf(file: string): string | null {
  const parts = file.split('/');
  return parts.length > 2 ? parts[1] : null;
}

describe('the house', () => {
  test('has the rooms it says, and imports were found in each', () => {
    expect([...new Set(imports.map(({ room }) => room))].sort()).toEqual(Object.keys(ARROWS).sort());
  });

  test('every import within the house follows the arrows', () => {
    const wrong = imports
      .filter(({ specifier }) => specifier.startsWith('.'))
      // The migrations are the catalog's own, beside src by convention.
      .filter((i) => !(i.room === 'catalog' && i.specifier.includes('../../migrations/')))
      // Types that the build makes of the API's own document.
      .filter((i) => !(i.room === 'web' && i.isType && i.specifier === '../../dist/api-types.d.ts'))
      .filter((i) => roomOf(i) !== i.room && !ARROWS[i.room].includes(roomOf(i)))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  test('every import within a room follows the arrows between the rooms within', () => {
    const wrong = imports
      .filter((i) => i.specifier.startsWith('.') && roomOf(i) === i.room && INNER_ARROWS[i.room])
      .map((i) => ({ ...i, from: innerOf(i.file), to: innerOf(targetOf(i)) }))
      .filter(({ room, from, to }) => {
        if (from === to || from === null) return false;
        if (to === null) return ASSEMBLED.includes(room);
        return !INNER_ARROWS[room][from]?.includes(to);
      })
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  test('the arrows make no circle', () => {
    for (const arrows of [ARROWS, ...Object.values(INNER_ARROWS)]) {
      const done = new Set<string>();
      for (let size = -1; size < done.size;) {
        size = done.size;
        for (const [from, to] of Object.entries(arrows)) if (to.every((each) => done.has(each))) done.add(from);
      }
      expect([...done].sort()).toEqual(Object.keys(arrows).sort());
    }
  });

  test('the rooms within are those that are named, and no two files of the house have one name', () => {
    const files = [...sources(SRC)].map((path) => relative(SRC, path));
    for (const [room, inner] of Object.entries(INNER_ARROWS)) {
      const found = files.filter((file) => file.startsWith(`${room}/`)).flatMap((file) => innerOf(file) ?? []);
      expect([...new Set(found)].sort()).toEqual(Object.keys(inner).sort());
    }
    const names = files.map((file) => basename(file));
    expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
  });

  test('no exported name stands for two things, and no type of one file has the name of another', () => {
    const declared = [...sources(SRC)].flatMap((path) =>
      [
        ...readFileSync(path, 'utf8').matchAll(
          /^(export )?(?:abstract |async )?(function\*?|class|interface|type|const|let) (\w+)/gm,
        ),
      ].map((match) => ({
        file: relative(SRC, path),
        name: match[3],
        isExported: match[1] !== undefined,
        isType: /^(?:class|interface|type)$/.test(match[2]),
      })),
    );
    const filesOf = new Map<string, Set<string>>();
    const conflicts = declared.filter(({ file, name, isExported, isType }) =>
      declared.some((other) => {
        if (other.name !== name || other.file === file) return false;
        return isExported || other.isExported || (isType && other.isType);
      }),
    );
    for (const { file, name } of conflicts) filesOf.set(name, (filesOf.get(name) ?? new Set()).add(file));
    expect(declared.length).toBeGreaterThan(1_000);
    expect([...filesOf].map(([name, files]) => `${name}: ${[...files].sort().join(', ')}`)).toEqual([]);
  });

  test('every word of the glossary is there once, and the house uses it', () => {
    const glossary = readFileSync(join(projectRoot(), 'docs/glossary.md'), 'utf8');
    const words = [...glossary.matchAll(/^\| ([a-z][a-z ]*?) +\|/gm)]
      .map(([, word]) => word)
      .filter((w) => w !== 'word');
    const house = [...sources(SRC)].map((path) => readFileSync(path, 'utf8')).join('\n');
    expect(words.length).toBeGreaterThan(80);
    expect(words.filter((word, i) => words.indexOf(word) !== i)).toEqual([]);
    expect(words.filter((word) => !new RegExp(word.replaceAll(' ', '[ -]?'), 'i').test(house))).toEqual([]);
  });

  test('core imports nothing from outside', () => {
    const wrong = imports.filter(({ room, specifier }) => room === 'core' && !specifier.startsWith('.'));
    expect(wrong).toEqual([]);
  });

  test('what has one owner is imported nowhere else', () => {
    const wrong = imports
      .filter(({ specifier, room }) => OWNERS[specifier] !== undefined && OWNERS[specifier] !== room)
      // A codec thread is handed its port; the type alone is no use of threads.
      .filter(({ isType }) => !isType)
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });

  test('only the configuration reads the environment', () => {
    const readers = [...sources(SRC)]
      .filter((path) => readFileSync(path, 'utf8').includes('process.env'))
      .map((path) => relative(SRC, path));
    expect(readers).toEqual(['main/process/config.ts']);
  });
});

test('recordings are read only in suites that .ci/run finds, and that are skipped where there are none', () => {
  const tests = [...sources(join(projectRoot(), 'test'))].map((path) => ({
    file: relative(join(projectRoot(), 'test'), path),
    text: readFileSync(path, 'utf8'),
  }));
  expect(tests.filter(({ text }) => /shared\/data/.test(text)).map(({ file }) => file)).toEqual([
    join('support', 'shared-data.ts'),
  ]);
  const readers = tests.filter(({ file, text }) => file.endsWith('.test.ts') && /support\/shared-data\.ts'/.test(text));
  expect(readers.length).toBeGreaterThan(0);
  expect(readers.filter(({ text }) => !/\bdescribeRecordings\b/.test(text.replace(/^import.*$/gm, '')))).toEqual([]);
});

test('a sentence of more than 25 words is found in comments, descriptions and pages, and a docstring that begins with "Of"', async () => {
  const { problemsOf } = (await import(join(projectRoot(), 'support/check-sentences.js'))) as {
    problemsOf: (path: string, text: string) => { line: number; problem: string }[];
  };
  const words = (count: number): string => `${Array.from({ length: count }, () => 'word').join(' ')}.`;
  const linesOf = (path: string, text: string): number[] => problemsOf(path, text).map(({ line }) => line);
  const wrapped = words(26).replace('word word', 'word\n// word');
  expect(linesOf('src/a.ts', `let a = '//';\n// ${words(25)} ${words(25)}\nlet b;\n// ${wrapped}`)).toEqual([4]);
  expect(linesOf('src/a.ts', `/** Of a series. */\n/** ${words(20)}\n * @param a ${words(20)}\n */`)).toEqual([1]);
  const description = `({ description: '${words(13).slice(0, -1)} ' +\n'${words(13)}' })`;
  expect(linesOf('src/http/a.ts', description)).toEqual([1]);
  expect(linesOf('src/main/a.ts', description)).toEqual([]);
  expect(
    linesOf('docs/a.md', `| ${words(20)} | ${words(20)} |\n\n\`\`\`\n${words(30)}\n\`\`\`\n\n- ${words(26)}`),
  ).toEqual([7]);
  expect(
    linesOf('docs/a.md', `${words(20).slice(0, -1)} \`a span of code is one word\` and [a](https://link.example).`),
  ).toEqual([]);
});
