import { describe, expect, test } from '@jest/globals';
import { nextLink, openCursor } from '../../src/http/request/cursor.ts';
import { annotationPosition } from '../../src/http/wire/annotations-schema.ts';
import { uuid } from '../../src/http/wire/scalars.ts';

const ID = '0198c5e0-0000-7000-8000-000000000001';
const SEARCH = '/v1/series?tag.species=mouse&tag.age_days%5Bgte%5D=60&limit=5';

function cursorIn(link: string): string {
  return new URL(link, 'http://localhost').searchParams.get('cursor') as string;
}

const refusal = expect.objectContaining({
  code: 'invalid-input',
  errors: [expect.objectContaining({ field: 'cursor' })],
});

describe('cursors', () => {
  test('the next link keeps the parameters and leads to where the page ended', () => {
    const link = nextLink(SEARCH, ID);
    const params = new URL(link, 'http://localhost').searchParams;
    expect(params.get('tag.age_days[gte]')).toBe('60');
    expect(params.get('limit')).toBe('5');
    expect(openCursor(link, cursorIn(link), uuid)).toBe(ID);
    expect(nextLink(link, ID)).toBe(link);
  });

  test('a page may change its size and the order of its parameters', () => {
    const cursor = cursorIn(nextLink(SEARCH, ID));
    const other = `/v1/series?limit=7&cursor=${cursor}&tag.age_days[gte]=60&tag.species=mouse`;
    expect(openCursor(other, cursor, uuid)).toBe(ID);
  });

  test.each([
    ['another value', '/v1/series?tag.species=rat&tag.age_days[gte]=60'],
    ['fewer parameters', '/v1/series?tag.species=mouse'],
    ['another path', '/v1/other?tag.species=mouse&tag.age_days[gte]=60'],
  ])('a cursor used with %s is refused and names cursor', (_what, url) => {
    expect(() => openCursor(url, cursorIn(nextLink(SEARCH, ID)), uuid)).toThrow(refusal);
  });

  test.each([
    'x',
    '',
    '%%%',
    Buffer.from('null').toString('base64url'),
    Buffer.from('{"of":"a","after":5}').toString('base64url'),
  ])('%j is refused and names cursor', (cursor) => {
    expect(() => openCursor('/v1/series', cursor, uuid)).toThrow(refusal);
  });

  test('a position of annotations keeps its nanoseconds, and one outside int64 is refused', () => {
    const url = `/v1/series/${ID}/annotations`;
    const link = nextLink(url, { start: '1777626001500000001', id: ID });
    expect(openCursor(link, cursorIn(link), annotationPosition)).toEqual({ startNs: 1777626001500000001n, id: ID });
    const forged = nextLink(url, { start: '9'.repeat(19), id: ID });
    expect(() => openCursor(forged, cursorIn(forged), annotationPosition)).toThrow(refusal);
  });
});
