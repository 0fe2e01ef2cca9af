/**
 * Soak: readers that do not read, also of wide series, uploads that bring nothing or stop, and queries by the dozen beside ordinary traffic.
 * Every ordinary request must be answered, with no 5xx but a 503 that says when to come again. What was acknowledged must be there.
 * The service must never take more memory than docs/limits.md adds up.
 *
 *     npm run soak -- [--seconds 60] [--clients 1]
 *
 * Latencies are reported beside those of the same traffic alone, and not asserted.
 */
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { sumOfLimits } from '../support/limits-page.ts';
import { startService } from '../support/service.ts';
import { disturb } from './disturbers.ts';
import { demand, type Service } from './http.ts';
import { ordinaryTraffic, type Traffic } from './ordinary.ts';
import { fillStore } from './store.ts';

const DEFAULT_SECONDS = 60;
/** Part of the time in which ordinary clients are alone. */
const ALONE = 0.2;

const { values: options } = parseArgs({ options: { seconds: { type: 'string' }, clients: { type: 'string' } } });
const seconds = Number(options.seconds ?? DEFAULT_SECONDS);
/** As many of each kind that disturbs. */
const clients = Number(options.clients ?? 1);
// Flushes and compaction go on all the time, as they would in a longer run.
const service = await startService({ env: { VARVE_FLUSH_AGE_S: '2', VARVE_COMPACT_EVERY_S: '2' } });
try {
  const store = await fillStore(service);
  const alone = await ordinaryTraffic(service, store, seconds * ALONE);
  const over = new AbortController();
  const disturbing = disturb(service, store, over.signal, clients);
  const beside = await ordinaryTraffic(service, store, seconds * (1 - ALONE));
  over.abort();
  const disturbed = await disturbing;
  const failures = [
    ...alone.failures,
    ...beside.failures,
    ...disturbed.failures,
    ...(await missing(service, alone, beside)),
  ];
  report(alone, beside);
  const [peak, most] = [peakMib(service.pid), sumOfLimits()];
  if (peak !== null) {
    process.stdout.write(`most memory: ${peak} of ${most} MiB\n`);
    if (peak > most) failures.push(`the service took ${peak} MiB, more than the ${most} of docs/limits.md`);
  }
  const queries = [...disturbed.queries].map(([status, count]) => `${count} × ${status}`).join(', ');
  process.stdout.write(`queries beside them: ${queries}; ordinary requests answered 503: ${beside.busy}\n`);
  if (alone.busy > 0) failures.push(`${alone.busy} requests were answered 503 with nothing else going on`);
  for (const failure of new Set(failures)) process.stdout.write(`FAILED ${failure}\n`);
  process.exitCode = failures.length > 0 ? 1 : 0;
} finally {
  await service.drop();
}

/** Most resident memory so far; null where the system does not tell. */
function peakMib(pid: number): number | null {
  const status = `/proc/${pid}/status`;
  const kib = existsSync(status) ? /^VmHWM:\s+(\d+)/m.exec(readFileSync(status, 'utf8'))?.[1] : undefined;
  return kib === undefined ? null : Math.round(Number(kib) / 1024);
}

/** What was acknowledged and is not there. */
async function missing(at: Service, ...all: Traffic[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const path of new Set(all.flatMap(({ acknowledged }) => [...acknowledged.keys()]))) {
    const sent = all.reduce((sum, { acknowledged }) => sum + (acknowledged.get(path) ?? 0), 0);
    const { body } = await demand(at, { method: 'GET', path: path.replace(/\/samples$/, '') }, 200);
    const { rows } = JSON.parse(body.toString()) as { rows: number };
    if (rows < sent) wrong.push(`${path} has ${rows} of ${sent} rows that were acknowledged`);
  }
  return wrong;
}

function report(alone: Traffic, beside: Traffic): void {
  const cells = (times: number[] = []): string =>
    [0.5, 0.95, 1].map((share) => `${quantile(times, share)}`.padStart(8)).join('');
  const head = ['p50', 'p95', 'max'].map((name) => name.padStart(8)).join('');
  process.stdout.write(`${'ms'.padEnd(28)}${head} alone${head} beside them (n)\n`);
  for (const [name, times] of alone.times) {
    const others = beside.times.get(name) ?? [];
    process.stdout.write(`${name.padEnd(28)}${cells(times)}      ${cells(others)} (${others.length})\n`);
  }
}

function quantile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN);
}
