/** Times that lie in a dataset beside the samples: what they mean in UTC, and whether they are those of a steady clock. */
import { DTYPES } from '../../core/numbers/dtype.ts';
import { unprocessableField } from '../../core/errors.ts';
import { nsOfRow, parseRate, type Rate } from '../../core/signal/rate.ts';
import { isTime } from '../../core/time.ts';
import { rowsAtOnce, readColumns, type ColumnPart } from './hdf5-columns.ts';
import type { Hdf5File } from './hdf5-file.ts';

export interface StampSource {
  readonly part: ColumnPart;
  /** What 1 is. */
  readonly unitNs: bigint;
  /** What 0 is, in UTC ns; what is relative counts from 1970. */
  readonly originNs: bigint;
  readonly isRelative: boolean;
  /** Value of a row that has no time; NaN is another. */
  readonly missing?: number | bigint;
  /** True if the series is irregular, whatever its times are like. */
  readonly isKept?: boolean;
}

export interface SurveyedStamps {
  /** The rate on whose grid all of them lie; null: on none. */
  readonly rate: Rate | null;
  readonly firstNs: bigint | null;
  /** How many are before the one before. */
  readonly stepsBack: number;
  /** Rows without a time. */
  readonly missing: number;
}

/** Fewer times say nothing of a rate. */
const MIN_STAMPS = 3;

/** UTC ns of rows `[from, to)`; null where there is none. */
export async function readStamps(
  file: Hdf5File,
  { part, unitNs, originNs, missing }: StampSource,
  from: number,
  to: number,
): Promise<(bigint | null)[]> {
  const values = await readColumns(file, part, from, to);
  const { path } = part;
  const isFloat = DTYPES[part.dtype].kind === 'float';
  return Array.from(values as ArrayLike<number | bigint>, (value, row) => {
    if (value === missing || (isFloat && Number.isNaN(value))) return null;
    if (value === NOT_A_TIME) return null;
    const ns = isFloat && Number.isFinite(value) ? originNs + floatNs(value as number, unitNs) : wholeNs(value);
    if (ns !== null && isTime(ns)) return ns;
    throw unprocessableField(
      path,
      `row ${from + row} has the time ${value}, outside the years 1678 to 2261`,
      'no-time',
    );
  });

  function wholeNs(value: number | bigint): bigint | null {
    return isFloat ? null : originNs + BigInt(value) * unitNs;
  }
}

/** NaT of NumPy and pandas. */
const NOT_A_TIME = -(2n ** 63n);

/** The nearest ns. What is whole and what is not are taken apart, for the product would be rounded twice. */
function floatNs(value: number, unitNs: bigint): bigint {
  const whole = Math.trunc(value);
  return BigInt(whole) * unitNs + BigInt(Math.round((value - whole) * Number(unitNs)));
}

/**
 * Reads all times once. A steady clock met each of them: whole numbers exactly, floats but for their last bit.
 * @throws unprocessable for a time that is none
 */
export function surveyStamps(file: Hdf5File, source: StampSource): Promise<SurveyedStamps> {
  let known = surveyed.get(source);
  if (!known) surveyed.set(source, (known = survey(file, source)));
  return known;
}

/** Several series may have the same times. */
const surveyed = new WeakMap<StampSource, Promise<SurveyedStamps>>();

async function survey(file: Hdf5File, source: StampSource): Promise<SurveyedStamps> {
  const { part } = source;
  const step = rowsAtOnce([part]);
  let [firstNs, lastNs]: (bigint | null)[] = [null, null];
  let [stepsBack, missing] = [0, 0];
  let rates = await likelyRates(file, source);
  const slackNs = DTYPES[part.dtype].kind === 'float' ? await lastBitNs(file, source) : 0n;
  for (let from = 0; from < part.rows; from += step) {
    const stamps = await readStamps(file, source, from, Math.min(part.rows, from + step));
    for (let row = 0; row < stamps.length; row++) {
      const ns = stamps[row];
      if (ns === null) {
        missing++;
        rates = [];
        continue;
      }
      if (lastNs !== null && ns < lastNs) stepsBack++;
      firstNs ??= ns;
      lastNs = ns;
      if (rates.length > 0) {
        const since = ns - firstNs;
        rates = rates.filter((rate) => {
          const off = since - nsOfRow(rate, from + row);
          return off <= slackNs && off >= -slackNs;
        });
      }
    }
  }
  return { rate: rates[0] ?? null, firstNs, stepsBack, missing };
}

/** What the last bit of the largest time is worth, at least a nanosecond. */
async function lastBitNs(file: Hdf5File, { part, unitNs }: StampSource): Promise<bigint> {
  if (part.rows === 0) return 1n;
  const ends = [await readColumns(file, part, 0, 1), await readColumns(file, part, part.rows - 1, part.rows)];
  const largest = Math.max(...ends.map(([value]) => Math.abs(Number(value))));
  if (!Number.isFinite(largest) || largest === 0) return 1n;
  const bits = part.dtype === 'float32' || part.stored === 'half' ? (part.stored === 'half' ? 10 : 23) : 52;
  const ulp = 2 ** (Math.floor(Math.log2(largest)) - bits);
  return BigInt(Math.max(1, Math.ceil(ulp * Number(unitNs))));
}

/** Rates that first and last time leave open, the simplest first. */
async function likelyRates(file: Hdf5File, source: StampSource): Promise<Rate[]> {
  const { rows } = source.part;
  if (rows < MIN_STAMPS) return [];
  const [first] = await readStamps(file, source, 0, 1);
  const [last] = await readStamps(file, source, rows - 1, rows);
  if (first === null || last === null || last <= first) return [];
  const steps = BigInt(rows - 1) * 1_000_000_000n;
  const hz = Number(steps) / Number(last - first);
  const texts = [...[3, 6, 9, 12].map((digits) => shortText(hz, digits)), `${steps}/${last - first}`];
  // A period may be round where its rate is not, such as that of an hour.
  const periods = [3, 6, 9, 12].map((digits) => shortText(1 / hz, digits));
  const all = [...texts.map((text) => parseRate(text)), ...periods.map(rateOfPeriod)];
  return [...new Map(all.flatMap((rate) => (rate ? [[`${rate.num}/${rate.den}`, rate]] : []))).values()].sort((a, b) =>
    a.num + a.den < b.num + b.den ? -1 : 1,
  );
}

function shortText(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** The rate of a period in seconds, as its shortest decimal says. */
export function rateOfPeriod(seconds: number | string): Rate | undefined {
  const period = parseRatio(String(seconds));
  return period && parseRate(`${period.den}/${period.num}`);
}

function parseRatio(text: string): { num: bigint; den: bigint } | undefined {
  const match = /^(\d{1,25})(?:\.(\d{1,25}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text);
  if (!match) return undefined;
  const digits = match[2] ?? '';
  const exponent = Number(match[3] ?? 0) - digits.length;
  const num = BigInt(match[1] + digits);
  if (num === 0n) return undefined;
  return exponent >= 0 ? { num: num * 10n ** BigInt(exponent), den: 1n } : { num, den: 10n ** BigInt(-exponent) };
}

/** A rate that differs from a much shorter one by no more than this was reckoned from times, and is the shorter one. */
const SAME_RATE = 1e-12;
const SHORT_DIGITS = 12;

/**
 * The rate that a file means by a number: 49999.99999999999 is 50000. @returns with the number that was corrected, if
 * it was; undefined if it is no rate
 */
export function meantRate(hz: number): { readonly rate: Rate; readonly corrected?: string } | undefined {
  const short = Number(hz.toPrecision(SHORT_DIGITS));
  const isLong = String(hz).replace(/[^\d]/g, '').length > SHORT_DIGITS + 2;
  const isMeant = short !== hz && isLong && Math.abs(short - hz) <= SAME_RATE * Math.abs(hz);
  const rate = parseRate(isMeant ? short : hz);
  if (!rate) return undefined;
  return isMeant ? { rate, corrected: `${hz} Hz was taken as ${short} Hz` } : { rate };
}
