import { expect, test } from '@jest/globals';
import { planEdf } from '../../src/formats/exports/edf-writer.ts';

const source = (rows: number) => ({
  series: {
    name: 'night',
    dtype: 'int16' as const,
    channels: [{ label: 'x' }],
    unit: null,
    scale: 1,
    offset: 0,
    timeReference: 'utc' as const,
    missingValue: null,
  },
  rate: { num: 1n, den: 1n },
  spans: [{ startNs: 1_777_626_000_000_000_000n, rows }],
  annotations: [],
  async *values() {},
});

test('an export of more records than memory is meant for is refused, and says what helps', () => {
  // A prime number of seconds is in records of one, or in a single one, which is too large.
  expect(() => planEdf([source(2_000_003)], 'night')).toThrow(
    /night: would have more than 1000000 records: export a range/,
  );
  expect(planEdf([source(2_000_000)], 'night').parts.map(({ name }) => name)).toEqual(['night.edf']);
});
