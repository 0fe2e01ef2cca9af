/** Batches of appends place every item as if they had come one by one. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ClockMark, NearSegment } from '../../src/core/signal/place-run.ts';
import { parseRate } from '../../src/core/signal/rate.ts';
import { byTime, type Segment } from '../../src/core/signal/segment.ts';
import {
  appendKeyOf,
  placeAppends,
  type AppendBody,
  type AppendItem,
  type AppendPart,
  type Head,
  type KnownAppend,
  type SegmentLook,
  type Placed,
  type Surroundings,
  type TimeRule,
} from '../../src/core/rows/place-append.ts';

const RATE = parseRate(1000)!;
const RULES: readonly TimeRule[] = [
  { kind: 'regular', rate: RATE, startNs: 5n },
  { kind: 'irregular', duplicates: 'last' },
  { kind: 'irregular', duplicates: 'error' },
];

function head(n: number): Head {
  return {
    seriesId: `s${n}`,
    laneId: 'lane',
    projectId: 'project',
    rows: 0,
    firstNs: null,
    lastNs: null,
    edits: 0,
    removed: 0,
    expiredNs: null,
    sealedAt: null,
    shapeVersion: 0,
    segment: null,
    limitNs: null,
    mark: null,
    marks: 0,
  };
}

function part(rows: number, firstNs: bigint | null, bytes = rows * 8): AppendPart {
  const lastNs = firstNs === null ? null : firstNs + BigInt(rows - 1);
  const place = { kind: 'memory', values: new Uint8Array(bytes), times: null } as const;
  return { rows, bytes, firstNs, lastNs, sorted: true, valuesCrc: 0, timesCrc: null, place };
}

function item(
  n: number,
  {
    startNs = null,
    firstNs,
    ...given
  }: Partial<AppendItem> & { readonly firstNs?: bigint; readonly startNs?: bigint | null },
): AppendItem {
  const rule = RULES[n % RULES.length];
  const rows = given.rows ?? 1;
  return {
    seriesId: `s${n}`,
    rule,
    knownVersion: null,
    rows,
    runs: rule.kind === 'regular' ? [{ rows, startNs, marks: [], field: 'start' }] : [],
    parts: [part(rows, rule.kind === 'regular' ? null : (firstNs ?? 0n))],
    key: null,
    tokenId: null,
    ...given,
  };
}

const hash = (byte: number): Uint8Array => Uint8Array.of(byte);

const items = fc
  .record({
    series: fc.nat(5),
    rows: fc.integer({ min: 1, max: 4 }),
    at: fc.option(fc.integer({ min: 0, max: 60 }), { nil: null }),
    key: fc.option(fc.nat(3), { nil: null }),
    content: fc.nat(1),
  })
  .map(({ series, rows, at, key, content }) =>
    item(series, {
      rows,
      startNs: at === null ? null : BigInt(at) * 1_000_000n,
      firstNs: BigInt(at ?? 0),
      key: key === null ? null : { key: `k${key}`, hash: hash(content) },
    }),
  );
const bodies = fc.array(fc.record({ items: fc.array(items, { minLength: 1, maxLength: 4 }), atomic: fc.boolean() }), {
  maxLength: 12,
});

/** What becomes visible when bodies are placed one by one, each in a commit of its own. */
class OneByOne {
  readonly heads = new Map<string, Head>([0, 1, 2, 3, 4].map((n) => [`s${n}`, head(n)]));
  readonly known = new Map<string, KnownAppend>();
  readonly closed = new Map<string, Segment & { readonly seriesId: string }>();
  readonly marks: (ClockMark & { readonly seriesId: string })[] = [];
  commit = 0n;

  /** All segments, which is more than is looked for. */
  near(looks: readonly SegmentLook[]): Promise<Surroundings> {
    const ids = new Set(looks.map(({ seriesId }) => seriesId));
    const found = [...ids].map((id): [string, NearSegment[]] => {
      const own = [...this.closed.values()].filter(({ seriesId }) => seriesId === id);
      const { segment } = this.heads.get(id)!;
      const all = [
        ...own.map(({ firstRow, startNs, rows }) => ({ firstRow, startNs, rows })),
        ...(segment ? [segment] : []),
      ];
      const marksOf = ({ firstRow, rows }: Segment): ClockMark[] => {
        const last = this.marks.findLast(
          ({ seriesId, row }) => seriesId === id && row >= firstRow && row < firstRow + rows,
        );
        return last ? [{ row: last.row, ns: last.ns }] : [];
      };
      return [id, byTime(all).map((each) => ({ segment: each, holes: [], marks: marksOf(each) }))];
    });
    return Promise.resolve(new Map(found));
  }

  async place(body: AppendBody): Promise<Placed[]> {
    const placement = await placeAppends([body], this.heads, this.known, (looks) => this.near(looks));
    const { outcomes, heads, changes, closed, gone, marks } = placement;
    this.marks.push(...marks);
    for (const { seriesId, firstRow } of gone) this.closed.delete(`${seriesId} ${firstRow}`);
    for (const segment of closed) this.closed.set(`${segment.seriesId} ${segment.firstRow}`, segment);
    this.commit++;
    for (const moved of heads) this.heads.set(moved.seriesId, moved);
    changes.forEach(({ seriesId, key, rows, firstRow }, ordinal) => {
      if (key) {
        const { commit } = this;
        this.known.set(appendKeyOf(seriesId, key.key), { hash: key.hash, commit, ordinal, rows, firstRow });
      }
    });
    return [...outcomes[0]];
  }
}

const summary = (placed: Placed): unknown =>
  placed.kind === 'placed'
    ? [placed.replayed, placed.rows, placed.firstRow]
    : [placed.error.code, placed.error.slug, placed.error.message];

const nowhere = (): Promise<Surroundings> => Promise.reject(new Error('the heads tell enough'));

describe('a batch of appends', () => {
  test('answers, moves heads and keeps segments as the same bodies do one by one', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, async (given) => {
        const model = new OneByOne();
        const start = new Map(model.heads);
        const empty = new OneByOne();
        const wanted: Placed[][] = [];
        for (const body of given) wanted.push(await model.place(body));
        const { outcomes, heads, closed } = await placeAppends(given, start, new Map(), (looks) => empty.near(looks));
        const segments = (all: Iterable<Segment>): unknown =>
          new Set([...all].map((each) => JSON.stringify([{ ...each, startNs: String(each.startNs) }])));
        expect(segments(closed)).toEqual(segments(model.closed.values()));
        expect(outcomes.map((each) => each.map(summary))).toEqual(wanted.map((each) => each.map(summary)));
        const after = new Map([...start, ...heads.map((each) => [each.seriesId, each] as const)]);
        expect(after).toEqual(model.heads);
      }),
      { numRuns: 500 },
    );
  });

  test('gives every row of a series one number, without gap, in the order of its chunks', async () => {
    await fc.assert(
      fc.asyncProperty(bodies, async (given) => {
        const empty = new OneByOne();
        const { fresh, heads, changes } = await placeAppends(given, empty.heads, new Map(), (looks) =>
          empty.near(looks),
        );
        for (const { seriesId, rows } of heads) {
          let next = 0;
          for (const run of fresh.filter((each) => each.head.seriesId === seriesId)) {
            expect(run.firstRow).toBe(next);
            expect(run.parts.reduce((sum, each) => sum + each.rows, 0)).toBe(run.rows);
            next += run.rows;
          }
          expect(next).toBe(rows);
          const said = changes.filter((each) => each.seriesId === seriesId);
          expect(said.reduce((sum, each) => sum + each.rows, 0)).toBe(rows);
        }
      }),
    );
  });

  test('closes a segment exactly when another one follows it', async () => {
    const gap = item(0, { rows: 2, startNs: 0n });
    const later = item(0, { rows: 3, startNs: 10_000_000_000n });
    const { closed, heads } = await placeAppends(
      [{ items: [gap, later], atomic: false }],
      new Map([['s0', head(0)]]),
      new Map(),
      nowhere,
    );
    expect(closed).toEqual([{ seriesId: 's0', firstRow: 0, startNs: 0n, rows: 2 }]);
    expect(heads[0].segment).toEqual({ firstRow: 2, startNs: 10_000_000_000n, rows: 3 });
  });

  test('stores nothing of an atomic body with one refused item, and everything of its neighbours', async () => {
    const good = item(1, { firstNs: 3n });
    const heads = new Map([0, 1].map((n) => [`s${n}`, head(n)]));
    const bad = { items: [item(1, { firstNs: 1n, key: { key: 'k', hash: hash(1) } }), item(4, {})], atomic: true };
    const bodiesOf = [{ items: [good], atomic: true }, bad];
    const { outcomes, changes, fresh } = await placeAppends(bodiesOf, heads, new Map(), nowhere);
    expect(outcomes[1].map((each) => each.kind === 'refused' && each.error.slug)).toEqual(['not-stored', 'not-found']);
    expect(changes.map(({ seriesId, rows }) => [seriesId, rows])).toEqual([['s1', 1]]);
    expect(fresh.map(({ rows }) => rows)).toEqual([1]);
  });

  test('joins small parts that follow each other, and says whether their times increase', async () => {
    const heads = new Map([['s1', head(1)]]);
    const body = (firstNs: bigint): AppendBody => ({ items: [item(1, { firstNs })], atomic: false });
    const { fresh: rising } = await placeAppends([body(1n), body(2n)], heads, new Map(), nowhere);
    expect(rising.map(({ rows, sorted, firstNs, lastNs }) => [rows, sorted, firstNs, lastNs])).toEqual([
      [2, true, 1n, 2n],
    ]);
    const { fresh: falling } = await placeAppends([body(2n), body(1n)], heads, new Map(), nowhere);
    expect(falling.map(({ rows, sorted, firstNs, lastNs }) => [rows, sorted, firstNs, lastNs])).toEqual([
      [2, false, 1n, 2n],
    ]);
  });
});
