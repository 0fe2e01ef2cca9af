import { describe, expect, test } from '@jest/globals';
import { parseIdempotencyKey } from '../../src/http/request/idempotency-key.ts';
import { queryOf } from '../../src/http/request/query.ts';
import { annotationSchemaFor, toNewAnnotations } from '../../src/http/wire/annotations-schema.ts';
import { parseWith } from '../../src/http/body/field-errors.ts';
import { fromSelection, readQuery, toChannels, toSelection } from '../../src/http/wire/samples-schema.ts';

const read = (query: string) => queryOf({ originalUrl: `/x?${query}` }, readQuery, { lists: ['channels'] });

const refusalOf = (...fields: string[]) =>
  expect.objectContaining({
    code: 'invalid-input',
    errors: fields.map((field) => expect.objectContaining({ field })),
  });

describe('the parameters of a read', () => {
  test.each([
    ['', { by: 'time' }],
    ['start=2026-05-01T09:00:00Z', { by: 'time', startNs: 1_777_626_000_000_000_000n }],
    ['start=2026-05-01T11:00:00%2B02:00', { by: 'time', startNs: 1_777_626_000_000_000_000n }],
    ['start=2026-05-01T11:00:00.5+02:00', { by: 'time', startNs: 1_777_626_000_500_000_000n }],
    ['start=-5&end=1777626000000000001', { by: 'time', startNs: -5n, endNs: 1_777_626_000_000_000_001n }],
    ['start=7&end=7', { by: 'time', startNs: 7n, endNs: 7n }],
    ['rows=2:5', { by: 'rows', from: 2, to: 5 }],
    ['rows=:5', { by: 'rows', to: 5 }],
    ['rows=-5:', { by: 'rows', from: -5 }],
    ['rows=:', { by: 'rows' }],
    ['rows=10:-3', { by: 'rows', from: 10, to: -3 }],
    ['rows=-5:-2', { by: 'rows', from: -5, to: -2 }],
  ])('%s selects %j', (query, selection) => {
    const parsed = toSelection(read(query));
    expect(parsed).toEqual(selection);
    expect(toSelection(read(new URLSearchParams(fromSelection(parsed)).toString()))).toEqual(parsed);
  });

  test.each([
    ['channels=MLII,V5', ['MLII', 'V5']],
    ['channels=MLII&channels=V5', ['MLII', 'V5']],
    ['channels=MLII%2C%20V5', ['MLII', 'V5']],
    ['channels[]=a,b', [{ label: 'a,b' }]],
    ['channels%5B%5D=a%2C%20b&channels[]=1', [{ label: 'a, b' }, { label: '1' }]],
    ['channels[]= a,b&channels=c,1&channels=d', ['c', '1', 'd', { label: ' a,b' }]],
    ['channels[]=', [{ label: '' }]],
    ['', null],
  ])('%s means the channels %j', (query, channels) => {
    expect(toChannels(read(query))).toEqual(channels);
  });

  test.each([
    ['colour=red', ['colour']],
    ['start=noon', ['start']],
    ['start=1&start=2', ['start']],
    ['start=2&end=1', ['start', 'end']],
    ['start=1&rows=0:5', ['rows']],
    ['rows=5', ['rows']],
    ['rows=a:b', ['rows']],
    ['rows=5:2', ['rows']],
    ['rows=-2:-5', ['rows']],
    ['rows=1:2:3', ['rows']],
    ['physical=yes', ['physical']],
    ['format=xml', ['format']],
    ['limit=0', ['limit']],
    ['limit=1e3', ['limit']],
    ['limit=', ['limit']],
    ['channels=a%00b', ['channels']],
    ['channels[]=a%00b', ['channels[]']],
    ['channels[0]=a', ['channels[0]']],
    ['rows[]=1:2', ['rows[]']],
    ['__proto__=1', ['__proto__']],
  ])('%s is refused and named', (query, fields) => {
    expect(() => read(query)).toThrow(refusalOf(...fields));
  });
});

describe('Idempotency-Key', () => {
  test.each([undefined, 'a', '"quoted"', 'x'.repeat(255)])('%s is taken', (key) => {
    expect(parseIdempotencyKey(key)).toBe(key ?? null);
  });

  test.each(['', 'two words', 'é', 'x'.repeat(256)])('%j is refused and named', (key) => {
    expect(() => parseIdempotencyKey(key)).toThrow(refusalOf('Idempotency-Key'));
  });
});

describe('annotations', () => {
  const parse = (body: unknown) => toNewAnnotations(parseWith(annotationSchemaFor(body), body, 'body'));

  test('one is a point unless it has an end', () => {
    expect(parse({ start: '5', label: 'N' })).toEqual([{ startNs: 5n, endNs: 5n, label: 'N', payload: {} }]);
    expect(parse({ start: 5, end: 9, label: 'N', payload: { a: [1] } })).toEqual([
      { startNs: 5n, endNs: 9n, label: 'N', payload: { a: [1] } },
    ]);
  });

  test('a list keeps its order', () => {
    const items = [
      { start: 2, label: 'b' },
      { start: 1, label: 'a' },
    ];
    expect(parse({ items }).map(({ label }) => label)).toEqual(['b', 'a']);
  });

  test.each<[unknown, string[]]>([
    [null, ['body']],
    [{}, ['start', 'label']],
    [{ start: 2, end: 1, label: 'x' }, ['end']],
    [{ start: 2, label: '' }, ['label']],
    [{ items: [] }, ['items']],
    [{ items: [{ start: 1, label: 'x' }, { start: 1 }] }, ['items[1].label']],
    [{ items: [{ start: 2, end: 1, label: 'x' }] }, ['items[0].end']],
    [{ items: Array.from({ length: 10_001 }, () => ({ start: 1, label: 'x' })) }, ['items']],
  ])('%# is refused and named', (body, fields) => {
    expect(() => parse(body)).toThrow(refusalOf(...fields));
  });
});
