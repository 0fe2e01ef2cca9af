/** The rooms of src and who may import whom. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
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
};

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
    else if (path.endsWith('.ts')) yield path;
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

function roomOf({ file, specifier }: Import): string {
  return relative(SRC, resolve(SRC, dirname(file), specifier)).split('/')[0];
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
      .filter((i) => roomOf(i) !== i.room && !ARROWS[i.room].includes(roomOf(i)))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
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
