/** A backup of one half alone: files of another day than the catalog, or the other way round. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { compactAll, flushAll } from '../support/command.ts';
import { copyDatabase, execute, testDatabase, type TestDatabase } from '../support/postgres.ts';
import { runCli, startService, type RunningService } from '../support/service.ts';
import { ApiClient, expecting, type Problem } from './client.ts';

const FOLDERS = ['shards', 'spool'];

let database: TestDatabase;
let service: RunningService;
let api: ApiClient;
let id: string;
let copies: TestDatabase[];

beforeEach(async () => {
  database = await testDatabase();
  service = await startService({ env: { DATABASE_URL: database.url } });
  api = new ApiClient(service);
  id = (await api.createSeries({ name: 's', dtype: 'int32', sampling: { kind: 'regular', rate_hz: 100 } })).id;
  copies = [];
});
afterEach(async () => {
  await service?.drop();
  await database?.drop();
  for (const copy of copies) await copy.drop();
});

const env = (): Record<string, string> => ({ DATABASE_URL: database.url, VARVE_DATA: service.dataRoot });

async function appendAndFlush(...values: number[]): Promise<void> {
  await api.append(id, { values });
  await flushAll(service.dataRoot, env());
}

/** While the service does not run. */
async function copyFiles(from: string, to: string): Promise<void> {
  for (const folder of FOLDERS) {
    await rm(join(service.dataRoot, to, folder), { recursive: true, force: true });
    await cp(join(service.dataRoot, from, folder), join(service.dataRoot, to, folder), {
      recursive: true,
      preserveTimestamps: true,
    });
  }
}

async function dump(): Promise<TestDatabase> {
  const copy = await copyDatabase(database);
  copies.push(copy);
  return copy;
}

async function restore(copy: TestDatabase): Promise<void> {
  const name = (url: string): string => new URL(url).pathname.slice(1);
  const cluster = database.url.replace(name(database.url), 'postgres');
  await execute(cluster, `drop database ${name(database.url)} with (force)`);
  await execute(cluster, `create database ${name(database.url)} template ${name(copy.url)}`);
}

const filesNow = async (): Promise<string[]> =>
  (await Promise.all(FOLDERS.map((folder) => readdir(join(service.dataRoot, folder), { recursive: true })))).flat();

async function expectNotReady(sentence: RegExp): Promise<void> {
  const before = await filesNow();
  const readiness = expecting(503, await api.get('/readyz')).json();
  expect(readiness).toMatchObject({
    status: 'not ready',
    checks: { shards: { ok: false, message: expect.stringMatching(sentence) } },
  });
  const samples = `/v1/series/${id}/samples`;
  const attempts = [
    await api.post(samples, { values: [9] }),
    await api.send('POST', '/v1/samples', {
      headers: { 'content-type': 'application/x-ndjson' },
      body: `${JSON.stringify({ series: id, values: [9] })}\n`,
    }),
    await api.send('DELETE', `${samples}?rows=0:1`).then(async (answer) =>
      // Ranges of edits are of times.
      answer.status === 400
        ? api.send('DELETE', `${samples}?start=2020-01-01T00:00:00Z&end=2030-01-01T00:00:00Z`)
        : answer,
    ),
  ];
  for (const answer of attempts) {
    const { type, detail } = expecting(503, answer).json<Problem>();
    expect([type, detail]).toEqual(['urn:varve:problem:store-estranged', expect.stringMatching(sentence)]);
  }
  const flushed = runCli(['recover'], env());
  expect([await flushed.exited, flushed.output()]).toEqual([1, expect.stringMatching(sentence)]);
  expect(await filesNow()).toEqual(before);
}

async function expectReady(values: number[]): Promise<void> {
  expecting(200, await api.get('/readyz'));
  expect((await api.read(id)).values).toEqual([values]);
  await api.append(id, { values: [100] });
  expect((await api.read(id)).values).toEqual([[...values, 100]]);
}

describe('the service is not ready, says why, accepts nothing and moves nothing', () => {
  test('over files of an earlier day, until the right ones are there', async () => {
    await appendAndFlush(1, 2);
    await service.stop();
    await copyFiles('.', 'yesterday');
    await service.restart();
    await appendAndFlush(3, 4);
    await appendAndFlush(5);
    await service.stop();
    await copyFiles('.', 'today');
    await copyFiles('yesterday', '.');
    await service.restart();
    await expectNotReady(/the data folder was restored to an earlier day/);
    expect((await api.read(id, '?rows=0:2')).values).toEqual([[1, 2]]);
    expect(expecting(500, await api.get(`/v1/series/${id}/samples`)).json<Problem>().type).toBe(
      'urn:varve:problem:shard-missing',
    );
    await service.stop();
    await copyFiles('today', '.');
    await service.restart();
    await expectReady([1, 2, 3, 4, 5]);
  });

  test('over an older dump, until the newer one is there', async () => {
    await appendAndFlush(1, 2);
    await service.stop();
    const older = await dump();
    await service.restart();
    await appendAndFlush(3, 4);
    await compactAll(service.dataRoot, env());
    await service.stop();
    const newer = await dump();
    await restore(older);
    await service.restart();
    await expectNotReady(/Postgres was restored to an earlier day/);
    await service.stop();
    await restore(newer);
    await service.restart();
    await expectReady([1, 2, 3, 4]);
  });

  test('until somebody accepts that nothing better is to be had', async () => {
    await appendAndFlush(1, 2);
    await service.stop();
    await copyFiles('.', 'yesterday');
    await service.restart();
    await appendAndFlush(3, 4);
    await appendAndFlush(5);
    await service.stop();
    await copyFiles('yesterday', '.');
    const accepted = runCli(['recover', '--accept-loss'], env());
    expect([await accepted.exited, accepted.output()]).toEqual([1, expect.stringContaining('a shard is lost')]);
    await service.restart();
    expect(expecting(200, await api.get('/readyz')).json()).toMatchObject({ checks: { shards: { degraded: true } } });
    expect(await api.append(id, { values: [6] })).toMatchObject({ first_row: 5 });
    expect((await api.read(id, '?rows=5:')).values).toEqual([[6]]);
  });
});
