import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { growthCurve } from '../../src/main/demo/growth-curve.ts';
import { syntheticEcg } from '../../src/main/demo/synthetic-ecg.ts';
import { runVarve } from '../support/command.ts';
import { runCli } from '../support/service.ts';

const run = promisify(execFile);

let folder: string;
let env: Record<string, string>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-demo-'));
  env = { VARVE_DATA: join(folder, "a lab's data"), VARVE_PORT: '0' };
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function curlLines(stdout: string): string[] {
  return [...stdout.matchAll(/^ *\$ (curl .*)$/gm)].map((match) => match[1]);
}

describe('varve demo', () => {
  test('tours a fresh folder and ends: recordings, search, a heart rate, optical densities', async () => {
    const { code, stdout, stderr } = await runVarve(['demo', '--exit'], env);
    // On a slow machine it says how far it is.
    expect([code, stderr.replaceAll(/^recording.*\n/gm, '')]).toEqual([0, '']);
    expect(stdout).toMatch(/creating a Postgres 18 cluster/);
    expect(stdout).toMatch(/demo\/ecg\/mouse-12: 120,000 rows, 1,1\d\d beats annotated \(new\)/);
    expect(stdout).toMatch(/5[78]\d beats a minute, from the samples/);
    expect(stdout).toMatch(/demo\/bioreactor\/R1: OD600 4\.\d\d, half after \d+\.\d h/);
    expect(curlLines(stdout).length).toBeGreaterThanOrEqual(7);
    await expect(readFile(join(env.VARVE_DATA, 'postgres', 'cluster', 'postmaster.pid'))).rejects.toThrow('ENOENT');
  });

  test('finds its recordings the second time, keeps serving, and every line it prints works in a shell', async () => {
    const demo = runCli(['demo'], env);
    const url = (await demo.line('varve is ready at ')).split(' ').at(-1)!;
    await demo.line('Ctrl-C ends');
    try {
      const story = demo.output();
      expect(story).not.toContain('(new)');
      expect(story).toContain('demo/thermometer has 1 row\n');
      expect(story).toContain(`${url}/docs`);
      // Where the page was built, a link opens it on a recording.
      const link = /^ {2}open {3}(\S+)$/m.exec(story)?.[1];
      const page = await fetch(`${url}/find`, { headers: { accept: 'text/html' } });
      expect([page.status, link === undefined]).toEqual(link === undefined ? [404, true] : [200, false]);
      if (link !== undefined) {
        const { searchParams, hash } = new URL(link);
        const signedIn = await fetch(`${url}/v1/session`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ code: hash.slice(1) }),
        });
        const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
        const shown = await fetch(`${url}/v1${searchParams.get('to')}`, { headers: { cookie } });
        expect(await shown.json()).toMatchObject({ name: 'demo/ecg/mouse-12' });
      }
      expect((await fetch(`${url}/docs`)).status).toBe(200);
      for (const line of curlLines(story)) {
        const shell = await run('sh', ['-c', `${line} -w '%{stderr}%{http_code}'`], { cwd: folder });
        const isCreation = line.endsWith("/v1/series'") && line.includes(' -d ');
        expect([line, shell.stderr]).toEqual([line, isCreation ? '409' : expect.stringMatching(/^20[01]$/)]);
      }
      expect((await readFile(join(folder, 'minute.npy'))).length).toBe(128 + 60_000 * 8);
    } finally {
      demo.signal('SIGINT');
    }
    expect(await demo.exited).toBe(0);
  });

  test('a port that is taken is said, with a way out', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await runVarve(['demo', '--exit'], { ...env, VARVE_PORT: String(port) });
    other.close();
    expect([code, stderr]).toEqual([
      1,
      `varve: port ${port} is taken, perhaps by another Varve: choose one, as in VARVE_PORT=${port + 1} varve demo\n`,
    ]);
  });
});

describe('synthetic recordings', () => {
  test.each([
    { rateHz: 360, seconds: 120, bpm: 62, bpmSd: 2, seed: 1 },
    { rateHz: 256, seconds: 120, bpm: 75, bpmSd: 3, seed: 2 },
    { rateHz: 1000, seconds: 60, bpm: 580, bpmSd: 15, seed: 3 },
  ])('an ECG at $bpm beats a minute has them, each where the trace peaks', (options) => {
    const { microvolts, beats } = syntheticEcg(options);
    expect(microvolts).toHaveLength(options.rateHz * options.seconds);
    const seconds = (beats[beats.length - 1] - beats[0]) / options.rateHz;
    expect(Math.abs((60 * (beats.length - 1)) / seconds - options.bpm)).toBeLessThan(options.bpmSd / 2);
    const nearest = beats.map((beat) => {
      const from = Math.max(0, beat - 8);
      const around = microvolts.subarray(from, beat + 9);
      return Math.abs(from + around.indexOf(around.reduce((high, value) => Math.max(high, value))) - beat);
    });
    expect(Math.max(...nearest)).toBeLessThanOrEqual(3);
    expect(Math.min(...beats.map((beat) => microvolts[beat]))).toBeGreaterThan(700);
  });

  test('the same seed makes the same recording, another one another', () => {
    const options = { rateHz: 256, seconds: 10, bpm: 60, bpmSd: 2, seed: 5 };
    expect(syntheticEcg(options)).toEqual(syntheticEcg(options));
    expect(syntheticEcg(options)).not.toEqual(syntheticEcg({ ...options, seed: 6 }));
  });

  test('a culture grows from the first to the last density at the rate asked for, at times that ascend unevenly', () => {
    const options = { firstOd: 0.02, lastOd: 4, growthPerHour: 0.8, lagHours: 3, temperatureC: 37, seed: 9 };
    const { times, values } = growthCurve({ hours: 24, everySeconds: 30, startNs: 0n, ...options });
    const od = (row: number): number => values[2 * row];
    expect(od(0) / options.firstOd).toBeCloseTo(1, 1);
    expect(od(times.length - 1) / options.lastOd).toBeCloseTo(1, 1);
    const steps = [...times].slice(1).map((time, i) => Number(time - times[i]) / 1e9);
    expect(Math.min(...steps)).toBeGreaterThan(0);
    expect(new Set(steps).size).toBeGreaterThan(steps.length / 2);
    // The slope of ln OD over half an hour is steepest at the specific growth rate.
    const rowAt = (hours: number): number => times.findIndex((time) => Number(time) >= hours * 3.6e12);
    const slopes = Array.from({ length: 40 }, (_, i) => {
      const [a, b] = [rowAt(i / 4), rowAt(i / 4 + 0.5)];
      return Math.log(od(b) / od(a)) / (Number(times[b] - times[a]) / 3.6e12);
    });
    expect(Math.abs(Math.max(...slopes) - options.growthPerHour)).toBeLessThan(0.08);
  });
});
