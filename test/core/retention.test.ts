import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { longestTerms, nextExpiry, type ExpiryFacts } from '../../src/core/upkeep/retention.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';

const DAY = 86_400_000_000_000n;
const day = (n: number): bigint => BigInt(Math.round(n * 1000)) * (DAY / 1000n);

const FACTS: ExpiryFacts = {
  nowNs: day(1000),
  lastNs: day(1000),
  firstNs: day(0),
  unsummarisedNs: null,
  expiredNs: null,
  summariesExpiredNs: null,
};
const TERMS = { keepDays: 100, keepSummariesDays: 400 };

describe('of several rules', () => {
  test.each([
    ['none is none', [], null],
    ['one is itself', [[7, 30]], [7, 30]],
    ['the longest counts', [[7, 30], [90, 90], [30, 60]], [90, 90]], // prettier-ignore
    ['of samples and of summaries each', [[7, 365], [90, 100]], [90, 365]], // prettier-ignore
    ['for ever is longest', [[7, null], [90, 100]], [90, null]], // prettier-ignore
  ] as const)('%s', (_, rules, longest) => {
    const terms = rules.map(([keepDays, keepSummariesDays]) => ({ keepDays, keepSummariesDays }));
    const expected = longest && { keepDays: longest[0], keepSummariesDays: longest[1] };
    expect(longestTerms(terms)).toEqual(expected);
  });
});

describe('expiry', () => {
  test.each<[string, Partial<ExpiryFacts>, bigint | null, bigint | null]>([
    ['lies as far back as is kept', {}, day(900), day(600)],
    ['counts from the newest sample of a series that has ended', { lastNs: day(500) }, day(400), day(100)],
    ['is not moved by a sample that says it is from the future', { lastNs: day(100_000) }, day(900), day(600)],
    ['stops at what is not sealed yet', { unsummarisedNs: day(850) }, day(850), day(600)],
    ['of summaries never passes that of samples', { unsummarisedNs: day(300) }, day(300), day(300)],
    ['waits where nothing is sealed', { unsummarisedNs: day(0) }, null, null],
    ['goes on from where it was', { expiredNs: day(899) }, day(900), day(600)],
    ['makes no small step', { expiredNs: day(899.5), summariesExpiredNs: day(597) }, null, null],
    ['never goes back', { expiredNs: day(950), summariesExpiredNs: day(700) }, null, null],
    ['has nothing to do where the oldest is young enough', { firstNs: day(899.5) }, null, null],
    ['of summaries goes on where all samples are young', { firstNs: day(900), expiredNs: day(900) }, null, day(600)],
  ])('%s', (_, facts, expiredNs, summariesExpiredNs) => {
    expect(nextExpiry({ ...FACTS, ...facts }, TERMS)).toEqual({ expiredNs, summariesExpiredNs });
  });

  test('leaves summaries that are kept for ever', () => {
    expect(nextExpiry(FACTS, { keepDays: 1, keepSummariesDays: null }).summariesExpiredNs).toBeNull();
  });

  test('never takes what is young, not sealed, or the newest sample, whatever the times', () => {
    const ns = fc.bigInt({ min: INT64_MIN, max: INT64_MAX });
    const maybe = fc.option(ns);
    const days = fc.double({ min: 1e-9, max: 106_751, noNaN: true });
    fc.assert(
      fc.property(
        ns,
        ns,
        ns,
        maybe,
        maybe,
        maybe,
        days,
        days,
        (nowNs, lastNs, firstNs, unsummarisedNs, expiredNs, summariesExpiredNs, keepDays, more) => {
          const facts = { nowNs, lastNs, firstNs, unsummarisedNs, expiredNs, summariesExpiredNs };
          const next = nextExpiry(facts, { keepDays, keepSummariesDays: keepDays + more });
          if (next.expiredNs !== null) {
            expect(next.expiredNs < lastNs && next.expiredNs < nowNs && next.expiredNs >= INT64_MIN).toBe(true);
            expect(unsummarisedNs === null || next.expiredNs <= unsummarisedNs).toBe(true);
            expect(expiredNs === null || next.expiredNs > expiredNs).toBe(true);
          }
          if (next.summariesExpiredNs !== null) {
            expect(next.summariesExpiredNs <= (next.expiredNs ?? expiredNs!)).toBe(true);
            expect(summariesExpiredNs === null || next.summariesExpiredNs > summariesExpiredNs).toBe(true);
          }
        },
      ),
    );
  });
});
