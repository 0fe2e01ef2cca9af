/** What the log says when all is well, and when a part is away: little. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testDatabase, type TestDatabase } from '../support/postgres.ts';
import { hasRedisServer, startRedis } from '../support/redis.ts';
import { startService, type RunningService } from '../support/service.ts';
import { relayTo, type TcpRelay } from '../support/tcp-relay.ts';
import { ApiClient, expecting, pause, tally } from './client.ts';

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly [field: string]: unknown;
}

const LIMIT_MS = 20_000;

let database: TestDatabase;
let relay: TcpRelay;
let service: RunningService;
let api: ApiClient;

beforeAll(async () => {
  database = await testDatabase();
  relay = await relayTo(database.url);
  service = await startService({ env: { DATABASE_URL: relay.url } });
  api = new ApiClient(service);
});

afterAll(async () => {
  await service?.drop();
  await relay?.cut();
  await database?.drop();
});

function linesOf(running: RunningService): Line[] {
  return running
    .output()
    .split('\n')
    .filter((text) => text.startsWith('{'))
    .map((text) => JSON.parse(text) as Line);
}

async function told(running: RunningService, message: string): Promise<void> {
  for (const end = Date.now() + LIMIT_MS; !linesOf(running).some(({ msg }) => msg === message); await pause(50)) {
    if (Date.now() > end) throw new Error(`"${message}" is not in the log:\n${running.output()}`);
  }
}

test('a request is no line of the log, whatever it is answered', async () => {
  const before = linesOf(service);
  const { id } = await api.createSeries({ name: 'quiet', dtype: 'int16', sampling: { kind: 'irregular' } });
  await api.append(id, { times: [1, 2], values: [1, 2] });
  for (const [path, status] of [
    [`/v1/series/${id}/samples`, 200],
    ['/v1/nothing', 404],
    ['/v1/series?limit=0', 400],
    ['/readyz', 200],
  ] as const) {
    expecting(status, await api.get(path));
  }
  expecting(401, await api.send('GET', '/v1/series', { token: null }));
  expect(linesOf(service).slice(before.length)).toEqual([]);
});

test('an outage of Postgres is one line, however many requests it meets, and its end another', async () => {
  const before = linesOf(service).length;
  await relay.cut();
  try {
    const paths = Array.from({ length: 40 }, (_, at) => (at % 4 === 0 ? '/readyz' : `/v1/series?tag.n=${at}`));
    expect(tally(await Promise.all(paths.map((path) => api.get(path))))).toEqual({ 503: 40 });
    await told(service, 'Postgres cannot be reached');
    // Timers meet it, too: lanes are looked at every two seconds.
    await pause(3_000);
    for (const path of paths.slice(0, 8)) expecting(503, await api.get(path));
  } finally {
    await relay.restore();
  }
  await told(service, 'Postgres is reached again');
  for (const end = Date.now() + LIMIT_MS; (await api.get('/readyz')).status !== 200 && Date.now() < end;)
    await pause(50);
  const lines = linesOf(service).slice(before);
  expect(lines.map(({ msg }) => msg)).toEqual(['Postgres cannot be reached', 'Postgres is reached again']);
  expect(JSON.stringify(lines)).not.toContain('    at ');
  expect(lines[0].level).toBeGreaterThanOrEqual(50);
});

(hasRedisServer() ? test : test.skip)('an outage of Redis is one line, and its end another', async () => {
  const redis = await startRedis();
  const own = await testDatabase();
  const queued = await startService({ env: { DATABASE_URL: own.url, REDIS_URL: redis.url } });
  try {
    const client = new ApiClient(queued);
    const before = linesOf(queued).length;
    await redis.stop();
    for (let asked = 0; asked < 5; asked++) expecting(503, await client.get('/readyz'));
    await told(queued, 'Redis cannot be reached');
    await pause(3_000);
    await redis.restart();
    await told(queued, 'Redis is reached again');
    const messages = linesOf(queued)
      .slice(before)
      .map(({ msg }) => msg);
    expect(messages).toEqual(['Redis cannot be reached', 'Redis is reached again']);
  } finally {
    await queued.drop();
    await redis.drop();
    await own.drop();
  }
});
