/**
 * Search over a million generated series, by Varve over HTTP. The same rows are asked for beside it as plain jsonb
 * under a GIN index, over a connection to Postgres. Every question is asked with other values each time, while a client
 * appends.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/main/postgres/embedded-postgres.ts';
import { startService, type RunningService } from '../test/support/service.ts';
import { generateCatalog } from './catalog.ts';
import { HttpClient } from './http.ts';
import type { Measurement } from './table.ts';
import { VictoriaSearch } from './victoria-search.ts';

const FACETS = ['species', 'stimulus', 'rig', 'experimenter', 'anaesthetised'];
const PAGE = 100;
const PEER = 'jsonb + GIN';
/** Asked before it counts: a service compiles what it runs often, and the first hundreds of its requests are slower. */
const WARM_UP = 30;
/** Warm-up of the first question, which finds a service that has just started. */
const ALONE_WARM_UP = 1000;
/** The generated recordings begin in 2020, one every 150 s. */
const FIRST_NS = 1_577_836_800_000_000_000n;
const STEP_NS = 150_000_000_000n;

interface Question {
  readonly measure: string;
  /** What Varve is asked: a path with query, or the body of a search. */
  ask(n: number, series: number): string | object;
  /** What the peer is asked: statements with their values. */
  peer(n: number, series: number): readonly (readonly [text: string, values: readonly unknown[]])[];
  /** What VictoriaMetrics is asked, where it can be: selectors, any of which a series has to match; or a path. */
  victoria?(n: number, series: number): readonly string[] | string;
}

const has = (tags: object): string => JSON.stringify(tags);
const page = (where: string): string => `select * from peer where ${where} order by id limit ${PAGE}`;
const codeOf = (n: number, series: number): string => `S${String(1 + ((n * 7919) % series)).padStart(8, '0')}`;
const area = (n: number): string => `area-${Math.floor(n) % 20}`;
const spanOf = (n: number, series: number, hours: number): [bigint, bigint] => {
  const start = FIRST_NS + (BigInt((n * 7919) % 90) * BigInt(series) * STEP_NS) / 100n;
  return [start, start + BigInt(hours) * 3_600_000_000_000n];
};

const QUESTIONS: readonly Question[] = [
  {
    measure: 'one hit',
    ask: (n, series) => `/v1/series?tag.code=${codeOf(n, series)}`,
    victoria: (n, series) => [`{code="${codeOf(n, series)}"}`],
    peer: (n, series) => [[page('tags @> $1'), [has({ code: codeOf(n, series) })]]],
  },
  {
    measure: 'two tags, 100 of 3 %',
    ask: (n) => `/v1/series?tag.species=mouse&tag.region=${area(n)}`,
    victoria: (n) => [`{species="mouse",region="${area(n)}"}`],
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
    victoria: (n) => ['{species="human"}', `{region="${area(n)}"}`],
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
    victoria: (n) => [`{species="human",region="${area(n)}"}`, '{species="rat",stimulus="odour"}'],
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
    victoria: (n) => [`{region="${area(n)}",anaesthetised!="true"}`],
    peer: (n) => [[page('tags @> $1 and not tags @> $2'), [has({ region: area(n) }), has({ anaesthetised: true })]]],
  },
  {
    measure: 'regex with a prefix',
    ask: (n) => ({ where: { tag: 'subject', regex: `^m${10 + (n % 10)}[0-9]+$` } }),
    victoria: (n) => [`{subject=~"m${10 + (n % 10)}[0-9]+"}`],
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
    victoria: (n) => `/api/v1/label/subject/values?match[]=${encodeURIComponent(`{subject=~"m${10 + (n % 90)}.*"}`)}`,
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
    victoria: () => '/api/v1/label/species/values?',
    peer: () => [[`select tags -> 'species' as value, count(*) from peer group by 1 order by 1`, []]],
  },
];

/**
 * Takes some minutes for a million series, most of which is filling the catalog; needs 5 GB of disk meanwhile.
 * @param size series, times that each question is asked (of the peers, five times fewer), and whether VictoriaMetrics is asked, too
 * @param log progress
 */
export async function measureSearch(
  size: { readonly series: number; readonly rounds: number; readonly victoria: boolean },
  log: (line: string) => void,
): Promise<Measurement[]> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-bench-search-'));
  const postgres = await startEmbeddedPostgres({ dataDir: folder, fsync: false, log });
  let service: RunningService | null = null;
  const client = new pg.Client({ connectionString: postgres.url });
  const http = new HttpClient(1);
  const closing: (() => Promise<void> | undefined)[] = [];
  try {
    service = await startService({ env: { DATABASE_URL: postgres.url } });
    await client.connect();
    const { seriesBytes, tagBytes, peerBytes } = await generateCatalog(postgres.url, size.series, log);
    const victoria = size.victoria ? await VictoriaSearch.start(folder, client, log) : null;
    closing.push(() => victoria?.stop());
    const measurements: Measurement[] = [];
    const [first] = QUESTIONS;
    measurements.push({
      measure: `${first.measure}, with nothing else going on`,
      values: null,
      unit: 'ms',
      varve: await timed(size.rounds, (n) => askVarve(http, service!, first.ask(n, size.series)), ALONE_WARM_UP),
    });
    const appends = appending(service);
    for (const question of QUESTIONS) {
      const rounds = Math.ceil(size.rounds / 5);
      const selectors = question.victoria;
      measurements.push({
        measure: question.measure,
        values: null,
        unit: 'ms',
        varve: await timed(size.rounds, (n) => askVarve(http, service!, question.ask(n, size.series))),
        peers: {
          [PEER]: await timed(rounds, (n) => askPeer(client, question.peer(n, size.series))),
          ...(victoria &&
            selectors && { VictoriaMetrics: await timed(rounds, (n) => victoria.ask(selectors(n, size.series))) }),
        },
      });
      log(question.measure);
    }
    const created: number[] = [];
    for (let part = 0; part < CREATED_PARTS; part++) created.push(await createMany(service, part));
    log(`${await appends.stop()} appends were acknowledged meanwhile`);
    measurements.push({ measure: 'bulk creates', values: null, unit: '1/s', varve: created });
    const bytesEach = (bytes: number): readonly number[] => [bytes / size.series];
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
      {
        measure: 'catalog: bytes per series',
        values: null,
        unit: 'B',
        varve: bytesEach(seriesBytes + tagBytes),
        peers: { [PEER]: bytesEach(peerBytes) },
      },
    );
    return measurements;
  } finally {
    http.close();
    for (const close of closing) await close();
    await client.end();
    await service?.drop();
    await postgres.stop();
    await rm(folder, { recursive: true });
  }
}

/** Requests of bulk creates, of as many series each. */
const CREATED_PARTS = 3;
const CREATED_SERIES = 10_000;
/** Series that are appended to while questions are asked, and rows of each append. */
const APPENDED_SERIES = 4;
const APPENDED_ROWS = 10;

/** One client that appends to a few series, one after the other, until it is stopped. @throws at the stop if one was refused */
function appending(service: RunningService): { stop(): Promise<number> } {
  let isOver = false;
  const running = (async () => {
    const ids: string[] = [];
    for (let n = 0; n < APPENDED_SERIES; n++) {
      const sampling = { kind: 'regular', rate_hz: 1000, start: '2030-01-01T00:00:00Z' };
      const { id } = (await post(
        service,
        '/v1/series',
        { name: `appended/${n}`, dtype: 'int16', sampling },
        [201],
      )) as {
        id: string;
      };
      ids.push(id);
    }
    const values = Array.from({ length: APPENDED_ROWS }, (_, row) => row);
    let appends = 0;
    for (; !isOver; appends++) {
      await post(service, `/v1/series/${ids[appends % APPENDED_SERIES]}/samples`, { values }, [201, 202]);
    }
    return appends;
  })();
  running.catch(() => {}); // told by stop
  return {
    stop: () => {
      isOver = true;
      return running;
    },
  };
}

async function post(
  service: RunningService,
  path: string,
  content: object,
  expected: readonly number[],
): Promise<unknown> {
  const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
  const answer = await fetch(service.url + path, { method: 'POST', headers, body: JSON.stringify(content) });
  if (!expected.includes(answer.status)) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Creates series with tags as those of the catalog. @returns series a second */
async function createMany(service: RunningService, part: number): Promise<number> {
  const body = Array.from({ length: CREATED_SERIES }, (_, n) => JSON.stringify(newSeries(part, n))).join('\n');
  const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/x-ndjson' };
  const start = performance.now();
  const answer = await fetch(`${service.url}/v1/series/bulk`, { method: 'POST', headers, body });
  const { items } = (await answer.json()) as { items: { status: number }[] };
  const seconds = (performance.now() - start) / 1000;
  if (!items.every(({ status }) => status === 201)) throw new Error('not all series were created');
  return items.length / seconds;
}

function newSeries(part: number, n: number): object {
  const h = ((part * CREATED_SERIES + n) * 7919) % 1_000_003;
  const pick = <T>(values: readonly T[], at: number): T => values[Math.floor(at) % values.length];
  return {
    name: `created/${part}/${n}`,
    dtype: 'int16',
    unit: 'mV',
    sampling: { kind: 'regular', rate_hz: 1000 },
    tags: {
      species: pick(['mouse', 'mouse', 'mouse', 'rat', 'human'], h),
      region: area(h / 10),
      rig: Math.floor(h / 200) % 40,
      age_days: 20 + (Math.floor(h / 7) % 380),
      depth: { value: 50 + (Math.floor(h / 3) % 2000), unit: 'um' },
      anaesthetised: h % 4 === 0,
      subject: `n${part}-${Math.floor(n / 40)}`,
      code: `T${part}-${n}`,
      ...(h % 2 === 0 && { experimenter: `person ${h % 25}` }),
      ...(h % 3 === 0 && { recorded: { time: new Date(1_600_000_000_000 + n * 100_000).toISOString() } }),
      ...(h % 5 < 3 && { stimulus: pick(['gratings', 'tones', 'odour', 'none'], h / 17) }),
      ...(h % 7 === 0 && { quality: ['a', 'checked'] }),
    },
  };
}

async function timed(rounds: number, work: (n: number) => Promise<void>, warmUp = WARM_UP): Promise<number[]> {
  for (let n = 0; n < warmUp; n++) await work(rounds + n);
  const samples: number[] = [];
  for (let n = 0; n < rounds; n++) {
    const start = performance.now();
    await work(n);
    samples.push(performance.now() - start);
  }
  return samples;
}

async function askVarve(http: HttpClient, service: RunningService, question: string | object): Promise<void> {
  const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
  const answer =
    typeof question === 'string'
      ? await http.expect(service.url + encodeURI(question), { headers })
      : await http.expect(`${service.url}/v1/series/search`, {
          method: 'POST',
          headers,
          body: JSON.stringify(question),
        });
  const { items } = JSON.parse(answer.toString()) as { items: unknown[] };
  if (items.length === 0) throw new Error(`${JSON.stringify(question)}: nothing found`);
}

async function askPeer(client: pg.Client, statements: ReturnType<Question['peer']>): Promise<void> {
  for (const [text, values] of statements) {
    const { rowCount } = await client.query(text, [...values]);
    if (!rowCount) throw new Error(`${text}: nothing found`);
  }
}
