import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { VerifyReport } from '../../src/flows/repair/verify.ts';
import { importedSpec } from '../../src/formats/recordings/imported-series.ts';
import { VarveClient } from '../../src/main/client/client.ts';
import { flushAll, runVarve, type Finished } from '../support/command.ts';
import { startService, type RunningService } from '../support/service.ts';

let service: RunningService;
let ids: string[];

const NAMES = ['good', 'bad', 'fine'];
const ROWS = 5000;

/** Values that no other series has, so that its bytes can be found in a shard. */
function valuesOf(series: number): Int32Array {
  return Int32Array.from({ length: ROWS }, (_, row) => 1_000_000 * (series + 1) + row);
}

beforeAll(async () => {
  service = await startService();
  const client = new VarveClient(service.url, service.token);
  ids = [];
  for (const [i, name] of NAMES.entries()) {
    const spec = importedSpec({
      name,
      dtype: 'int32',
      channels: [{ label: 'x' }],
      sampling: { kind: 'regular', rate: { num: 100n, den: 1n }, startNs: 0n },
      provenance: {},
    });
    const { id } = await client.createSeries({ ...spec, project: 'default' });
    await client.appendSamples(id, new Uint8Array(valuesOf(i).buffer), {});
    ids.push(id);
  }
  await flushAll(service.dataRoot, {});
});

afterAll(() => service?.drop());

function varveVerify(...args: string[]): Promise<Finished> {
  return runVarve(['verify', ...args], { VARVE_DATA: service.dataRoot });
}

async function verifyJson(): Promise<{ code: number | null; report: VerifyReport }> {
  const { code, stdout, stderr } = await varveVerify('--json');
  if (stdout === '') throw new Error(stderr);
  return { code, report: JSON.parse(stdout) as VerifyReport };
}

/** Flips one bit of a series' values, at a row, in whichever shard holds them. */
async function flipBit(series: number, row: number): Promise<string> {
  const wanted = Buffer.from(valuesOf(series).buffer);
  const shards = join(service.dataRoot, 'shards');
  for (const name of await readdir(shards, { recursive: true })) {
    if (!name.endsWith('.h5')) continue;
    const at = (await readFile(join(shards, name))).indexOf(wanted);
    if (at < 0) continue;
    const file = await open(join(shards, name), 'r+');
    await file.write(Buffer.of(wanted[row * 4] ^ 1), 0, 1, at + row * 4);
    await file.close();
    return `shards/${name}`;
  }
  throw new Error('no shard holds the series');
}

describe('varve verify', () => {
  test('finds nothing in healthy data, beside the running service', async () => {
    const { code, report } = await verifyJson();
    expect([code, report.findings]).toEqual([0, []]);
    expect(report.chunks).toBeGreaterThanOrEqual(NAMES.length);
    expect(report.bytes).toBe(NAMES.length * ROWS * 4);
    expect((await varveVerify()).stdout).toMatch(/^all is well: \d shards, \d chunks, 0\.1 MB in [\d.]+ s\n$/);
  });

  test('names series, row and shard of a single flipped bit, and nothing else', async () => {
    const shard = await flipBit(1, 4321);
    const { code, report } = await verifyJson();
    expect(code).toBe(1);
    expect(report.findings).toEqual([
      {
        kind: 'values-corrupt',
        shard: expect.any(String),
        path: shard,
        series: ids[1],
        row: expect.any(Number),
        message: expect.any(String),
      },
    ]);
    expect(report.findings[0].row).toBeLessThanOrEqual(4321);
    const { code: tableCode, stdout } = await varveVerify();
    expect(tableCode).toBe(1);
    expect(stdout).toContain(ids[1]);
    expect(stdout).toContain(shard);
    expect(stdout).toMatch(/\n1 finding: /);
  });

  test('works without a service, and leaves no Postgres behind', async () => {
    await service.stop();
    const { code, report } = await verifyJson();
    expect([code, report.findings.map(({ series }) => series)]).toEqual([1, [ids[1]]]);
    await expect(readFile(join(service.dataRoot, 'postgres', 'cluster', 'postmaster.pid'))).rejects.toThrow('ENOENT');
    await service.restart(); // The folder is free again.
  });

  test('a folder without data is told apart from a healthy one, and stays empty', async () => {
    const nowhere = join(service.dataRoot, 'nowhere');
    const { code, stderr } = await runVarve(['verify'], { VARVE_DATA: nowhere });
    expect([code, stderr]).toEqual([1, expect.stringContaining(`there are no data of Varve in ${nowhere}`)]);
    expect(await readdir(service.dataRoot)).not.toContain('nowhere');
  });
});
