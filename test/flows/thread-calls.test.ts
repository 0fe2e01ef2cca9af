/** No flow holds a transaction while it waits for a thread, however long that takes. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { parseRate } from '../../src/core/signal/rate.ts';
import { UNSAID, type NewSeries, type Series } from '../../src/core/signal/series.ts';
import { AnswerRoom } from '../../src/flows/read/answer-room.ts';
import { hashContent } from '../../src/flows/close/hash-content.ts';
import { measureErasure } from '../../src/flows/append/measure-erasure.ts';
import { readBuckets } from '../../src/flows/overview/read-overview.ts';
import { querySeries } from '../../src/flows/table/query-series.ts';
import { readSamples } from '../../src/flows/read/read-samples.ts';
import { CodecPool } from '../../src/storage/threads/codec-pool.ts';
import { eachOpened } from '../../src/storage/read/shard-files.ts';
import { Store } from './store.ts';

const HOUR_NS = 3_600_000_000_000n;
const ROWS = 20_000;

let store: Store;
let watch: pg.Client;
let codec: WatchedPool;
let regular: Series;
let disordered: Series;

/** Counts, whenever a thread is called, the sessions that are in a transaction and wait for us. */
class WatchedPool extends CodecPool {
  calls = 0;
  waiting = 0;

  override async run<T>(name: string, task: object): Promise<T> {
    const { rows } = await watch.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
    );
    this.calls++;
    this.waiting += rows[0].n;
    return super.run<T>(name, task);
  }
}

function spec(name: string, sampling: NewSeries['sampling']): Omit<NewSeries, 'project'> {
  const about = { description: null, unit: null, scale: 1, offset: 0, tags: {}, provenance: {}, ...UNSAID };
  const form = {
    dtype: 'float64',
    channels: [{ label: '0' }],
    timeReference: 'utc',
    duplicates: 'last',
    codec: 'gzip',
  };
  return { name, sampling, ...about, ...form } as Omit<NewSeries, 'project'>;
}

beforeAll(async () => {
  store = await Store.open();
  watch = new pg.Client({ connectionString: store.databaseUrl });
  await watch.connect();
  codec = new WatchedPool(new URL('../../src/flows/threads/codec-thread.js', import.meta.url), 1);
  regular = await store.create(spec('regular', { kind: 'regular', rate: parseRate('1/3600')!, startNs: 0n }));
  disordered = await store.create(spec('disordered', { kind: 'irregular' }));
  const values = Float64Array.from({ length: ROWS }, (_, i) => i);
  const times = BigInt64Array.from({ length: ROWS }, (_, i) => BigInt((i * 7919) % ROWS) * HOUR_NS);
  await store.append(regular, { values, times: null });
  await store.append(disordered, { values, times });
});

afterAll(async () => {
  await codec.close();
  await watch.end();
  await store.close();
});

async function all(body: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
  if (body instanceof Uint8Array) return;
  for await (const piece of body) expect(piece).toBeDefined();
}

describe('a transaction waits for no thread', () => {
  const everyDay = {
    by: 'every',
    every: { kind: 'calendar', unit: 'day', count: 1 },
    zone: 'Europe/Berlin',
    aggregates: ['mean'],
    fill: 'none',
  } as const;
  const deps = () => ({
    db: store.db,
    searches: store.db,
    root: store.root,
    codec,
    room: new AnswerRoom(),
    files: eachOpened(store.root),
  });
  const asked = ({ id }: Series) => ({
    principal: { tokenId: id, scopes: ['read'] as const, projects: null },
    ref: { id },
    channels: null,
    physical: false,
    signal: new AbortController().signal,
  });

  test.each<[string, () => Promise<unknown>]>([
    [
      'for the borders of a calendar',
      async () => all((await readBuckets(deps(), { ...asked(regular), wanted: everyDay, format: 'json' })).body),
    ],
    [
      'for rows to be put in order',
      async () => {
        const request = { ...asked(disordered), selection: { by: 'time' }, limit: null, linkTo: () => '' } as const;
        await all((await readSamples(deps(), { ...request, format: 'octet', spelling: {} })).body);
      },
    ],
    [
      'for a table',
      async () => {
        const series = { by: 'ids', ids: [regular.id, disordered.id] } as const;
        for (const wanted of [
          { by: 'rows', most: null } as const,
          { ...everyDay, by: 'buckets', isWide: true } as const,
        ])
          await all((await querySeries(deps(), { ...asked(regular), series, wanted, format: 'csv' })).body);
      },
    ],
    ['for a hash', () => hashContent(deps(), disordered.id)],
    ['for a removal to be measured', () => measureErasure(deps(), disordered, HOUR_NS, 9_000n * HOUR_NS)],
  ])('%s', async (_what, work) => {
    codec.calls = codec.waiting = 0;
    await work();
    expect(codec.calls).toBeGreaterThan(0);
    expect(codec.waiting).toBe(0);
  });
});
