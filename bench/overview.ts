/** Overviews: as many points of a short and of a very long series. The cost should follow the points. */
import { runCli, startService, type RunningService } from '../test/support/service.ts';
import type { Measurement } from './table.ts';
import { mulberry32 } from './workload.ts';

export interface OverviewSize {
  readonly shortRows: number;
  readonly longRows: number;
  /** Overviews of each. */
  readonly reads: number;
}

export const OVERVIEWS: OverviewSize = { shortRows: 1e6, longRows: 1e9, reads: 40 };
export const QUICK_OVERVIEWS: OverviewSize = { shortRows: 1e6, longRows: 1e8, reads: 10 };

const POINTS = 2_000;
const WARM_UP = 5;
/** Rows of one append. */
const BATCH_ROWS = 25_000_000;
const SEED = 11;

/** Starts a service of its own. int16 at 30 kHz, one channel; compacted. */
export async function measureOverviews({ shortRows, longRows, reads }: OverviewSize): Promise<Measurement[]> {
  // Nothing is compacted but when the bench says so: else it goes on beside the measurement.
  const service = await startService({ env: { VARVE_COMPACT_EVERY_S: '86400' } });
  try {
    const values = noise(Math.min(BATCH_ROWS, longRows));
    const series: { rows: number; id: string }[] = [];
    for (const rows of [shortRows, longRows]) series.push({ rows, id: await store(service, rows, values) });
    for (const command of ['flush', 'compact']) {
      const ran = runCli([command, '--all'], { VARVE_DATA: service.dataRoot });
      if ((await ran.exited) !== 0) throw new Error(`varve ${command}: ${ran.output()}`);
    }
    const measured: Measurement[] = [];
    const answers = series.map(({ rows, id }) => ({ rows, id, times: [] as number[] }));
    // They take turns, because a machine is never twice the same.
    for (let turn = -WARM_UP; turn < reads; turn++) {
      for (const { id, rows, times } of answers) {
        const took = await overview(service, id, rows);
        if (turn >= 0) times.push(took);
      }
    }
    for (const { rows, times } of answers) {
      const measure = `overview of ${rows.toExponential(0)} rows at ${POINTS} points`;
      measured.push({ measure, values: 'noise, int16', unit: 'ms', varve: times });
    }
    return measured;
  } finally {
    await service.drop();
  }
}

async function overview(service: RunningService, id: string, rows: number): Promise<number> {
  const begun = performance.now();
  const answer = await call(service, `/v1/series/${id}/samples?points=${POINTS}`);
  const { buckets } = (await answer.json()) as { buckets: { count: number[] } };
  const took = performance.now() - begun;
  const found = buckets.count.reduce((sum, count) => sum + count, 0);
  if (buckets.count.length !== POINTS || found !== rows)
    throw new Error(`${found} rows in ${buckets.count.length} buckets`);
  return took;
}

async function store(service: RunningService, rows: number, values: Int16Array): Promise<string> {
  const sampling = { kind: 'regular', rate_hz: 30_000, start: '2026-05-01T09:00:00Z' };
  const created = await call(service, '/v1/series', { name: `${rows} rows`, dtype: 'int16', sampling });
  const { id } = (await created.json()) as { id: string };
  for (let at = 0; at < rows; at += values.length) {
    const bytes = new Uint8Array(values.buffer, 0, Math.min(values.length, rows - at) * values.BYTES_PER_ELEMENT);
    await call(service, `/v1/series/${id}/samples`, bytes);
  }
  return id;
}

async function call(service: RunningService, path: string, body?: Uint8Array | object): Promise<Response> {
  const isBytes = body instanceof Uint8Array;
  const answer = await fetch(`${service.url}${path}`, {
    method: body ? 'POST' : 'GET',
    headers: {
      authorization: `Bearer ${service.token}`,
      ...(body && { 'content-type': isBytes ? 'application/octet-stream' : 'application/json' }),
    },
    ...(body && { body: (isBytes ? body : JSON.stringify(body)) as RequestInit['body'] }),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer;
}

/** Half of 16 bits at random, around a slow wave. */
function noise(rows: number): Int16Array {
  const random = mulberry32(SEED);
  return Int16Array.from({ length: rows }, (_, i) => Math.sin(i / 1e5) * 10_000 + random() * 256);
}
