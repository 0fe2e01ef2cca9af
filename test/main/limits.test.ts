/** The page of limits says what the code does, and adds it up rightly. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { MOST_WAITING_BYTES } from '../../src/flows/append/committer.ts';
import { DEFAULT_BODY_BYTES, MAX_UPLOADS } from '../../src/flows/append/backpressure.ts';
import { MAX_APPEND_STREAMS, MAX_LIVE_READERS } from '../../src/flows/live/live-places.ts';
import { DEFAULT_ROOM_LIMITS, LARGE_READ_BYTES, SMALL_READ_BYTES } from '../../src/flows/read/answer-room.ts';
import { MOST_PLAN_CHUNKS, MOST_HELD_BYTES, MOST_PLAN_BYTES } from '../../src/flows/read/read-weight.ts';
import { JSON_COPIES } from '../../src/formats/text/exact-json.ts';
import { MAX_DOCUMENT_BYTES } from '../../src/http/body/document-room.ts';
import { DEFAULT_HTTP_LIMITS } from '../../src/http/request/limits.ts';
import { COMPACTIONS_AT_ONCE, IMPORTS_AT_ONCE } from '../../src/main/assemble.ts';
import { DEFAULT_WRITERS } from '../../src/main/process/config.ts';
import { MAX_EXPORTS } from '../../src/storage/export/hdf5-export.ts';
import { projectRoot } from '../support/project-root.ts';
import { readLimits, sumOfLimits } from '../support/limits-page.ts';

const MIB = 1024 ** 2;

/** By the name that the page uses. Bytes are told in MiB. */
const LIMITS: Record<string, number> = {
  'DEFAULT_ROOM_LIMITS.bytes': DEFAULT_ROOM_LIMITS.bytes / MIB,
  DEFAULT_BODY_BYTES: DEFAULT_BODY_BYTES / MIB,
  MAX_DOCUMENT_BYTES: MAX_DOCUMENT_BYTES / MIB,
  MOST_WAITING_BYTES: MOST_WAITING_BYTES / MIB,
  MAX_EXPORTS,
  DEFAULT_WRITERS,
  COMPACTIONS_AT_ONCE,
  IMPORTS_AT_ONCE,
  MAX_APPEND_STREAMS,
  MAX_LIVE_READERS,
  'DEFAULT_HTTP_LIMITS.maxConnections': DEFAULT_HTTP_LIMITS.maxConnections,
};

const { rows, page } = readLimits();
const limited = rows.filter(({ name }) => name !== null);

function testSources(folder = join(projectRoot(), 'test')): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(folder, path), 'utf8'));
}

describe('the sum of the limits', () => {
  test('names every limit that counts, once', () => {
    expect(limited.map(({ name }) => name!).sort()).toEqual(Object.keys(LIMITS).sort());
  });

  test.each(limited.map((row) => [row.name!, row] as const))('%s is as in the code', (name, row) => {
    expect(row.value).toBe(LIMITS[name]);
    const [constant] = name.split('.');
    expect(readFileSync(join(projectRoot(), row.file!), 'utf8')).toMatch(
      new RegExp(`^export const ${constant}\\b`, 'm'),
    );
    expect(row.value! * row.eachMib!).toBe(row.mib);
  });

  test.each(limited.map((row) => [row.name!, row.test] as const))('%s has the test that it names', (_name, title) => {
    expect(title).not.toBe('');
    expect(testSources().some((source) => source.includes(title))).toBe(true);
  });

  test('adds up', () => {
    expect(rows.reduce((sum, { mib }) => sum + mib, 0)).toBe(sumOfLimits());
  });

  test('counts JSON as often as bodies do', () => {
    expect(rows.find(({ name }) => name === 'MAX_DOCUMENT_BYTES')!.eachMib).toBe(JSON_COPIES);
  });
});

test('the tables above it say what the code does', () => {
  const plain = (count: number): string => count.toLocaleString('en-US');
  const line = (beginning: string): string => page.split('\n').find((each) => each.startsWith(`| ${beginning}`)) ?? '';
  expect(line('memory of reads')).toContain(`${DEFAULT_ROOM_LIMITS.bytes / MIB / 1024} GiB`);
  expect(line('memory of reads')).toContain(`${LARGE_READ_BYTES / MIB} MiB`);
  expect(page).toContain(`before it begins: ${SMALL_READ_BYTES / MIB} MiB`);
  expect(line('memory of reads')).toContain(`${DEFAULT_ROOM_LIMITS.waitMs / 1000} s`);
  expect(line('reads that wait')).toContain(plain(DEFAULT_ROOM_LIMITS.waiting));
  expect(line('chunks of one read')).toContain(plain(MOST_PLAN_CHUNKS));
  expect(line('bytes of small appends')).toContain(`${MOST_HELD_BYTES / MIB} MiB`);
  expect(line('bodies over 1 MiB')).toContain(plain(MAX_UPLOADS));
  expect(line('memory of bodies')).toContain(`${DEFAULT_BODY_BYTES / MIB / 1024} GiB`);
  expect(line('JSON documents')).toContain(`${MAX_DOCUMENT_BYTES / MIB} MiB`);
  expect(line('connections')).toContain(plain(DEFAULT_HTTP_LIMITS.maxConnections));
  expect(line('rows in memory that wait')).toContain(`2 × ${MOST_WAITING_BYTES / MIB} MiB`);
});

test('the largest plan fits into half of the memory of reads', () => {
  expect(MOST_PLAN_BYTES).toBeLessThanOrEqual(DEFAULT_ROOM_LIMITS.bytes / 2);
});
