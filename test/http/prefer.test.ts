import { describe, expect, test } from '@jest/globals';
import { parsePrefer } from '../../src/http/prefer.ts';

describe('Prefer', () => {
  test.each<[string | undefined, number, string | null, string | null]>([
    [undefined, 10_000, null, null],
    ['', 10_000, null, null],
    ['wait=3', 3000, 'wait=3', 'wait=3'],
    ['WAIT = "3"', 3000, 'wait=3', 'wait=3'],
    ['wait=0', 0, 'wait=0', 'wait=0'],
    ['wait=600', 60_000, 'wait=60', 'wait=60'],
    ['respond-async', 0, 'respond-async', null],
    ['respond-async, wait=5', 5000, 'respond-async, wait=5', 'wait=5'],
    ['return=minimal; foo="bar", respond-async', 0, 'respond-async', null],
    ['wait=1, wait=9', 1000, 'wait=1', 'wait=1'],
    ['wait=soon', 10_000, null, null],
    ['wait=-1', 10_000, null, null],
    ['wait', 10_000, null, null],
    ['handling=strict', 10_000, null, null],
  ])('%s waits %i ms and says what was applied', (header, waitMs, appliedIfDurable, appliedIfVisible) => {
    expect(parsePrefer(header)).toEqual({ waitMs, appliedIfDurable, appliedIfVisible });
  });
});
