/**
 * Search over a million generated series: Varve over HTTP, beside the same rows as plain jsonb under a GIN index, asked over a connection to
 * Postgres. Every question is asked with other values each time.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/main/embedded-postgres.ts';
import { startService, type RunningService } from '../test/support/service.ts';
import { generateCatalog } from './catalog.ts';
import type { Measurement } from './table.ts';

const FACETS = ['species', 'stimulus', 'rig', 'experimenter', 'anaesthetised'];
const PAGE = 100;
const PEER = 'jsonb + GIN';
const WARM_UP = 3;
/** The generated recordings begin in 2020, one every 150 s. */
const FIRST_NS = 1_577_836_800_000_000_000n;
const STEP_NS = 150_000_000_000n;

interface Question {
  readonly measure: string;
  /** Of Varve: a path with query, or the body of a search. */
  ask(n: number, series: number): string | object;
  /** Of the peer: statements with their values. */
  peer(n: number, series: number): readonly (readonly [text: string, values: readonly unknown[]])[];
}

const has = (tags: object): string => JSON.stringify(tags);
const page = (where: string): string => `select * from peer where ${where} order by id limit ${PAGE}`;
const area = (n: number): string => `area-${n % 20}`;
const spanOf = (n: number, series: number, hours: number): [bigint, bigint] => {
  const start = FIRST_NS + (BigInt((n * 7919) % 90) * BigInt(series) * STEP_NS) / 100n;
  return [start, start + BigInt(hours) * 3_600_000_000_000n];
};

const QUESTIONS: readonly Question[] = [
  {
    measure: 'one hit',
    ask: (n, series) => `/v1/series?tag.code=S${String(1 + ((n * 7919) % series)).padStart(8, '0')}`,
    peer: (n, series) => [
      [page('tags @> $1'), [has({ code: `S${String(1 + ((n * 7919) % series)).padStart(8, '0')}` })]],
    ],
  },
  {
    measure: 'two tags, 100 of 3 %',
    ask: (n) => `/v1/series?tag.species=mouse&tag.region=${area(n)}`,
    peer: (n) => [[page('tags @> $1'), [has({ species: 'mouse', region: area(n) })]]],
  },
  {
    measure: 'or of two tags',
    ask: (n) => ({
      where: {
        or: [
          { tag: 'species', eq: 'human' },
          { tag: 'region', eq: area(n) },
        ],
      },
    }),
    peer: (n) => [[page('tags @> $1 or tags @> $2'), [has({ species: 'human' }), has({ region: area(n) })]]],
  },
  {
    measure: 'or of two ands',
    ask: (n) => ({
      where: {
        or: [
          {
            and: [
              { tag: 'species', eq: 'human' },
              { tag: 'region', eq: area(n) },
            ],
          },
          {
            and: [
              { tag: 'species', eq: 'rat' },
              { tag: 'stimulus', eq: 'odour' },
            ],
          },
        ],
      },
    }),
    peer: (n) => [
      [
        page('tags @> $1 or tags @> $2'),
        [has({ species: 'human', region: area(n) }), has({ species: 'rat', stimulus: 'odour' })],
      ],
    ],
  },
  {
    measure: 'and not',
    ask: (n) => ({ where: { and: [{ tag: 'region', eq: area(n) }, { not: { tag: 'anaesthetised', eq: true } }] } }),
    peer: (n) => [[page('tags @> $1 and not tags @> $2'), [has({ region: area(n) }), has({ anaesthetised: true })]]],
  },
  {
    measure: 'regex with a prefix',
    ask: (n) => ({ where: { tag: 'subject', regex: `^m${10 + (n % 10)}[0-9]+$` } }),
    peer: (n) => [[page(`tags ->> 'subject' ~ $1`), [`^m${10 + (n % 10)}[0-9]+$`]]],
  },
  {
    measure: 'range of a number, and a tag',
    ask: (n) => ({
      where: {
        and: [
          { tag: 'species', eq: 'mouse' },
          { tag: 'age_days', gte: 60 + n, lt: 90 + n },
        ],
      },
    }),
    peer: (n) => [
      [
        page(`tags @> $1 and (tags ->> 'age_days')::float >= $2 and (tags ->> 'age_days')::float < $3`),
        [has({ species: 'mouse' }), 60 + n, 90 + n],
      ],
    ],
  },
  {
    measure: 'range of a quantity',
    ask: (n) => ({
      where: {
        tag: 'depth',
        range: { gte: { value: 1 + n / 1000, unit: 'mm' }, lt: { value: 1.01 + n / 1000, unit: 'mm' } },
      },
    }),
    peer: (n) => [
      [
        page(`(tags -> 'depth' ->> 'value')::float >= $1 and (tags -> 'depth' ->> 'value')::float < $2`),
        [1000 + n, 1010 + n],
      ],
    ],
  },
  {
    measure: 'data within an hour',
    ask: (n, series) => ({ where: { overlaps: spanOf(n, series, 1).map(String) } }),
    peer: (n, series) => [[page('first_ns < $2 and last_ns >= $1'), spanOf(n, series, 1)]],
  },
  {
    measure: 'page and 5 facets',
    ask: (n) => ({
      where: {
        and: [
          { tag: 'species', eq: 'mouse' },
          { tag: 'region', eq: area(n) },
        ],
      },
      facets: FACETS,
    }),
    peer: (n) => {
      const where = has({ species: 'mouse', region: area(n) });
      return [
        [page('tags @> $1'), [where]],
        ...FACETS.map(
          (facet) =>
            [
              'select tags -> $2 as value, count(*) from peer where tags @> $1 group by 1 order by 2 desc limit 100',
              [where, facet],
            ] as const,
        ),
      ];
    },
  },
  {
    measure: 'type-ahead',
    ask: (n) => `/v1/tags/subject?prefix=m${10 + (n % 90)}&limit=20`,
    peer: (n) => [
      [
        `select tags ->> 'subject' as value, count(*) from peer where tags ->> 'subject' like $1 group by 1 order by 1 limit 20`,
        [`m${10 + (n % 90)}%`],
      ],
    ],
  },
  {
    measure: 'values of a tag with five values',
    ask: () => '/v1/tags/species',
    peer: () => [[`select tags -> 'species' as value, count(*) from peer group by 1 order by 1`, []]],
  },
];

/**
 * Takes some minutes for a million series, most of which is filling the catalog; needs 5 GB of disk meanwhile.
 * @param size series, and times that each question is asked (of the peer, five times fewer)
 * @param log progress
 */
export async function measureSearch(
  size: { readonly series: number; readonly rounds: number },
  log: (line: string) => void,
): Promise<Measurement[]> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-bench-search-'));
  const postgres = await startEmbeddedPostgres({ dataDir: folder, fsync: false, log });
  let service: RunningService | null = null;
  const client = new pg.Client({ connectionString: postgres.url });
  try {
    service = await startService({ env: { DATABASE_URL: postgres.url } });
    await client.connect();
    const { seriesBytes, tagBytes, peerBytes } = await generateCatalog(postgres.url, size.series, log);
    const measurements: Measurement[] = [];
    for (const question of QUESTIONS) {
      measurements.push({
        measure: question.measure,
        values: null,
        unit: 'ms',
        varve: await timed(size.rounds, (n) => askVarve(service!, question.ask(n, size.series))),
        peers: {
          [PEER]: await timed(Math.ceil(size.rounds / 5), (n) => askPeer(client, question.peer(n, size.series))),
        },
      });
      log(question.measure);
    }
    const megabytes = (bytes: number): readonly number[] => [bytes / 1e6];
    measurements.push(
      {
        measure: 'catalog: series',
        values: null,
        unit: 'MB',
        varve: megabytes(seriesBytes),
        peers: { [PEER]: megabytes(peerBytes) },
      },
      { measure: 'catalog: values of tags', values: null, unit: 'MB', varve: megabytes(tagBytes) },
    );
    return measurements;
  } finally {
    await client.end();
    await service?.drop();
    await postgres.stop();
    await rm(folder, { recursive: true });
  }
}

async function timed(rounds: number, work: (n: number) => Promise<void>): Promise<number[]> {
  for (let n = 0; n < WARM_UP; n++) await work(rounds + n);
  const samples: number[] = [];
  for (let n = 0; n < rounds; n++) {
    const start = performance.now();
    await work(n);
    samples.push(performance.now() - start);
  }
  return samples;
}

async function askVarve(service: RunningService, question: string | object): Promise<void> {
  const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
  const answer =
    typeof question === 'string'
      ? await fetch(service.url + question, { headers })
      : await fetch(`${service.url}/v1/series/search`, { method: 'POST', headers, body: JSON.stringify(question) });
  const { items } = (await answer.json()) as { items?: unknown[] };
  if (!items?.length) throw new Error(`${JSON.stringify(question)}: ${answer.status}, nothing found`);
}

async function askPeer(client: pg.Client, statements: ReturnType<Question['peer']>): Promise<void> {
  for (const [text, values] of statements) {
    const { rowCount } = await client.query(text, [...values]);
    if (!rowCount) throw new Error(`${text}: nothing found`);
  }
}
