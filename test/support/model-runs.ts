/**
 * How many histories a model test makes: few on every change. A long run makes as many as VARVE_TEST_MODEL_RUNS says,
 * without a limit of time.
 */
const ASKED = process.env.VARVE_TEST_MODEL_RUNS;
const HOUR_MS = 3_600_000;

/** @param usual on every change */
export function modelRuns(usual: number): number {
  return ASKED === undefined ? usual : Number(ASKED);
}

/** Limit of one test. */
export const MODEL_LIMIT_MS = ASKED === undefined ? 300_000 : 12 * HOUR_MS;
/** A property on every change ends before its test does. */
export const PROPERTY_LIMIT_MS = ASKED === undefined ? 240_000 : MODEL_LIMIT_MS;
