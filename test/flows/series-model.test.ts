import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { getSeries } from '../../src/catalog/series/series-store.ts';
import { bytesOf } from '../../src/core/numbers/dtype.ts';
import { isVarveError } from '../../src/core/errors.ts';
import { nsOfRow, parseRate } from '../../src/core/signal/rate.ts';
import type { DuplicateRule, Series } from '../../src/core/signal/series.ts';
import { INT64_MAX, INT64_MIN } from '../../src/core/time.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { packRecords } from '../../src/formats/binary/packed-records.ts';
import { IrregularModel, RegularModel, type Expected, type ModelRow } from './model-series.ts';
import { Store } from './store.ts';
import { unsealSeries } from '../../src/catalog/series/seal-store.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { stateService } from '../../src/flows/close/seal-series.ts';
import type { AppendOutcome, RemoveOutcome } from '../../src/flows/append/append-service.ts';
import type { Principal } from '../../src/flows/principal.ts';
import { modelRuns, MODEL_LIMIT_MS, PROPERTY_LIMIT_MS } from '../support/model-runs.ts';

/** Wide rows, so that a few of them fill a chunk: 16 rows are one. */
const CHANNELS = 128;
/** Rows are not a whole number of nanoseconds apart. */
const RATE = parseRate(30)!;
const RUNS = modelRuns(3);

const NOBODY: Principal = { tokenId: uuidv7(), scopes: ['write'], projects: null };

let store: Store;

beforeAll(async () => {
  store = await Store.open();
});

afterAll(async () => {
  await store?.close();
});

/** One thing that happens to a series; the numbers mean something only to the kind of series they happen to. */
type Step =
  | {
      readonly do: 'append' | 'replace' | 'remove';
      readonly at: number;
      readonly length: number;
      readonly jitter: number;
    }
  | { readonly do: keyof typeof UPKEEP };

/** What happens to a store by itself: nobody may see it. */
const UPKEEP = {
  flush: () => store.flush(),
  flushOne: (seriesId) => store.flushOne(seriesId),
  compactAlone: (seriesId) => store.compact(seriesId),
  compact: async (seriesId) => {
    await store.flush();
    await store.compact(seriesId);
  },
  // A sealed series takes nothing, and its hash is the same wherever its rows lie.
  seal: async (seriesId) => {
    const { db, root, codec, room, turns } = store;
    const { contentHash } = await stateService({ reads: db, writes: db, root, codec, turns, room }).seal(
      NOBODY,
      seriesId,
      { signal: new AbortController().signal },
    );
    const sealed = await getSeries(db, { id: seriesId });
    await expect(store.remove(sealed, { startNs: 0n, endNs: 1n })).rejects.toMatchObject({ slug: 'series-sealed' });
    await store.flushOne(seriesId);
    await store.compact(seriesId);
    expect(await hashContent({ db, root, codec }, seriesId)).toEqual(contentHash);
    await unsealSeries(db, seriesId, { tokenId: null });
  },
} satisfies Record<string, (seriesId: string) => Promise<void>>;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('append' as const, 'append' as const, 'replace' as const, 'remove' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      length: fc.nat({ max: 40 }),
      jitter: fc.integer({ min: -2, max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom(...(Object.keys(UPKEEP) as (keyof typeof UPKEEP)[])) }) },
);
const steps = fc.array(step, { minLength: 1, maxLength: 16 });

/** A series and its model, side by side. */
interface Pair {
  readonly series: Series;
  readonly model: RegularModel | IrregularModel;
  /** @returns what is answered, and what the model makes of it */
  apply(
    step: Extract<Step, { at: number }>,
  ): { answer: Promise<AppendOutcome | RemoveOutcome>; expected: Expected } | null;
}

/** Applies the steps to both, and compares all that can be read after every step. */
async function run(pair: Pair, all: readonly Step[]): Promise<void> {
  for (const each of all) {
    if ('at' in each) {
      const applied = pair.apply(each);
      if (!applied) continue;
      const { expected } = applied;
      const outcome = await applied.answer.catch((error: unknown) => {
        if (!isVarveError(error)) throw error;
        return { refused: error.slug };
      });
      if ('refused' in expected) expect(outcome).toEqual(expected);
      else
        expect(outcome).toMatchObject(expected.removed === null ? { replayed: false } : { removed: expected.removed });
    } else await UPKEEP[each.do](pair.series.id);
    await compare(pair);
  }
  expect((await store.verify({ series: pair.series.id })).findings).toEqual([]);
}

async function compare({ series, model }: Pair): Promise<void> {
  const all = model.byTime(INT64_MIN, INT64_MAX);
  const now = await getSeries(store.db, { id: series.id });
  expect([now.rows, now.removed]).toEqual([model.rows, model.removed]);
  expect([now.firstNs, now.lastNs]).toEqual([all.at(0)?.ns ?? null, all.at(-1)?.ns ?? null]);
  await expectRows(series, { by: 'time' }, all);
  await expectRows(series, { by: 'rows' }, model.byRows(0, Infinity));
  const [third, middle] = [Math.floor(all.length / 3), Math.floor((all.length * 2) / 3)];
  if (third < middle) {
    const [startNs, endNs] = [all[third].ns, all[middle].ns];
    await expectRows(series, { by: 'time', startNs, endNs }, model.byTime(startNs, endNs));
    const [from, to] = [Math.floor(model.rows / 3), Math.floor((model.rows * 2) / 3)];
    await expectRows(series, { by: 'rows', from, to }, model.byRows(from, to));
  }
}

async function expectRows(
  series: Series,
  selection: Parameters<Store['read']>[1],
  rows: readonly ModelRow[],
): Promise<void> {
  const values = valuesOf(rows.map(({ value }) => value));
  const times = BigInt64Array.from(rows, ({ ns }) => ns);
  const bytes = series.sampling.kind === 'regular' ? bytesOf(values) : packRecords(times, values);
  const read = await store.read(series, selection);
  // Which rows they are says more than which bytes, if they are not those.
  if (!read.equals(bytes)) expect(await readFirstChannel(series, selection)).toEqual(rows.map(({ value }) => value));
  expect(read.equals(bytes)).toBe(true);
  const json = JSON.parse((await store.read(series, selection, 'json')).toString()) as {
    times: string[];
    values: number[][];
  };
  expect(json.times).toEqual(rows.map(({ ns }) => String(ns)));
  expect(json.values[CHANNELS - 1] ?? []).toEqual(rows.map((_, i) => values[i * CHANNELS + CHANNELS - 1]));
}

async function readFirstChannel(series: Series, selection: Parameters<Store['read']>[1]): Promise<number[]> {
  const read = await store.read(series, selection, 'json');
  return (JSON.parse(read.toString()) as { values: number[][] }).values[0];
}

/** The first channel says which value it is, the others differ from it. */
function valuesOf(values: readonly number[]): Float64Array {
  return Float64Array.from({ length: values.length * CHANNELS }, (_, i) => {
    const value = values[Math.floor(i / CHANNELS)];
    return value + (i % CHANNELS) / 1000;
  });
}

function channelsSpec(sampling: Parameters<typeof importedSpec>[0]['sampling'], duplicates: DuplicateRule) {
  const channels = Array.from({ length: CHANNELS }, (_, i) => ({ label: `c${i}` }));
  return importedSpec({ name: uuidv7(), dtype: 'float64', channels, sampling, duplicates, provenance: {} });
}

/** Where rows of a regular series may come: few, so that they meet others. */
const PLACES = 400;

let serial = 0;
/** Values that have not been used before. */
const fresh = (count: number): number[] => Array.from({ length: count }, () => ++serial);

async function regularPair(): Promise<Pair> {
  const model = new RegularModel(RATE);
  const series = await store.create(channelsSpec({ kind: 'regular', rate: RATE, startNs: 0n }, 'last'));
  return {
    series,
    model,
    apply({ do: what, at, length, jitter }) {
      if (what === 'append') {
        const values = fresh(length + 1);
        if (jitter === 2) {
          // Rows with times, and a gap among them.
          const [first, place] = [Math.ceil(values.length / 2), Math.floor(at * PLACES)];
          const runs = [
            { values: values.slice(0, first), startNs: nsOfRow(RATE, place) },
            { values: values.slice(first), startNs: nsOfRow(RATE, place + first + 7) },
          ].filter((run) => run.values.length > 0);
          const times = runs.flatMap((run) => run.values.map((_, i) => run.startNs + nsOfRow(RATE, i)));
          const answer = store.appendCsv(series, times, valuesOf(values));
          return { answer, expected: model.append(runs) };
        }
        // Some go on, some leave a gap behind the data, some come late or over what there is.
        const startNs =
          jitter === 1 ? model.endNs + nsOfRow(RATE, 5) : jitter === -1 ? nsOfRow(RATE, Math.floor(at * PLACES)) : null;
        const answer = store.append(series, { values: valuesOf(values), times: null }, startNs);
        return { answer, expected: model.append([{ values, startNs }]) };
      }
      const ends = [at, at + (length * (1 - at)) / 40].map((part) => nsOfRow(RATE, Math.floor(part * PLACES)));
      const range = { startNs: ends[0] + BigInt(jitter), endNs: ends[1] + BigInt(jitter % 2) };
      if (range.startNs >= range.endNs) return null;
      if (what === 'remove') {
        return { answer: store.remove(series, range), expected: model.remove(range.startNs, range.endNs) };
      }
      // One in some brings a wrong number of rows.
      const values = fresh(Math.max(1, model.countIn(range.startNs, range.endNs) + (jitter === 2 ? 1 : 0)));
      const answer = store.replace(series, range, { values: valuesOf(values), times: null });
      return { answer, expected: model.replace(range.startNs, range.endNs, values) };
    },
  };
}

/** Few different times, so that duplicates are common. */
const TIMES = 60;

async function irregularPair(rule: DuplicateRule): Promise<Pair> {
  const model = new IrregularModel(rule);
  const series = await store.create(channelsSpec({ kind: 'irregular' }, rule));
  const timesIn = (from: number, to: number, count: number, seed: number): bigint[] => {
    const span = Math.max(1, to - from);
    // Steps that have no common factor with the span go all over it, out of order.
    const times = Array.from({ length: count }, (_, i) => BigInt(from + ((seed + i * 7) % span)));
    if (rule !== 'error') return times;
    return [...new Set(times)].sort((a, b) => (a < b ? -1 : 1));
  };
  return {
    series,
    model,
    apply({ do: what, at, length, jitter }) {
      const from = Math.floor(at * TIMES);
      const to = from + length;
      const range = { startNs: BigInt(from), endNs: BigInt(to) };
      if (what !== 'append' && from >= to) return null;
      if (what === 'remove') {
        return { answer: store.remove(series, range), expected: model.remove(range.startNs, range.endNs) };
      }
      const times = timesIn(from, Math.max(from + 1, to), 1 + Math.floor(length / 2), jitter + 2);
      const values = fresh(times.length);
      const batch = { values: valuesOf(values), times: BigInt64Array.from(times) };
      return what === 'append'
        ? { answer: store.append(series, batch), expected: model.append(times, values) }
        : {
            answer: store.replace(series, range, batch),
            expected: model.replace(range.startNs, range.endNs, times, values),
          };
    },
  };
}

describe('a series reads as its model, whatever was appended, replaced and removed', () => {
  const check = (pairOf: () => Promise<Pair>): Promise<void> =>
    fc.assert(
      fc.asyncProperty(steps, async (all) => run(await pairOf(), all)),
      { numRuns: RUNS, interruptAfterTimeLimit: PROPERTY_LIMIT_MS },
    );

  test('regular', () => check(regularPair), MODEL_LIMIT_MS);

  test.each(['last', 'keep', 'error'] as const)(
    'irregular, duplicates: %s',
    (rule) => check(() => irregularPair(rule)),
    MODEL_LIMIT_MS,
  );
});
