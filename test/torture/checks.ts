/** What must hold once everything runs again. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { demand } from './finding.ts';
import type { Hdf5Judge } from './hdf5-judge.ts';
import type { ModelSeries } from './model-series.ts';
import { until } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';

const CLI = fileURLToPath(new URL('../../src/main/cli.js', import.meta.url));
/** Longer than a lease, a round of the reconciler and a job given up for stalled together. */
const SETTLE_LIMIT_MS = 75_000;
const POLL_MS = 50;
const REQUEST_LIMIT_MS = 60_000;
const READY_LIMIT_MS = 20_000;
const SWEEP_LIMIT_MS = 20_000;
/** Older than any grace the spool's sweep gives. */
const OLD_S = 48 * 3600;
/** Rows before the last checked ones that are read again: where two appends meet is where they would be torn. */
const OVERLAP_ROWS = 1_000;
/** Rows of irregular series are up to a millisecond apart. */
const RECENT_NS = 2_000_000_000;

interface SeriesInShard {
  readonly path: string;
  readonly sealed: boolean;
  readonly series: string;
  readonly first: number;
  readonly rows: number;
  /** Of the datasets. */
  readonly ranges: readonly [from: number, to: number][];
}

export class Checks {
  /** Of irregular and regular series, how often one was found in a sealed shard. */
  sealedSeries = 0;
  /** Shards that no judge has seen in their present form, by time of change. */
  readonly #judged = new Map<string, string>();
  readonly #checkedRows = new Map<ModelSeries, number>();
  readonly #store: Store;
  readonly #judge: Hdf5Judge;
  readonly #random: Random;

  constructor(store: Store, judge: Hdf5Judge, random: Random) {
    this.#store = store;
    this.#judge = judge;
    this.#random = random;
  }

  /** Every server says that it is ready. */
  async ready(): Promise<void> {
    for (const server of this.#store.servers) {
      const ready = await until(READY_LIMIT_MS, POLL_MS, async () => {
        const response = await fetch(`${server.url}/readyz`, { signal: AbortSignal.timeout(REQUEST_LIMIT_MS) }).catch(
          () => null,
        );
        await response?.text().catch(() => {});
        return response?.status === 200;
      });
      demand(ready, () => `${server.name} does not become ready`);
    }
  }

  /** Waits until no write is pending any more. */
  async settled(): Promise<void> {
    let pending = 0;
    const settled = await until(SETTLE_LIMIT_MS, POLL_MS, async () => {
      const [row] = await this.#store.postgres.query<{ n: number }>(
        `select count(*)::int as n from writes where state = 'pending'`,
      );
      pending = row.n;
      return pending === 0;
    });
    demand(settled, () => `${pending} writes are pending ${SETTLE_LIMIT_MS} ms after everything came back`);
  }

  /** @param whole everything, instead of what has been added since the last time */
  async samples(whole: boolean): Promise<void> {
    const failed = await this.#store.postgres.query(
      `select id, idempotency_key, error from writes where state = 'failed'`,
    );
    demand(failed.length === 0, () => `writes have failed: ${JSON.stringify(failed)}`);
    for (const series of this.#store.series) {
      await this.#writes(series);
      // Sealing puts the rows of an irregular series in order of time, and numbers them so.
      if (series.irregular) await this.#timeOrder(series, whole);
      else {
        await this.#rows(series, whole);
        await this.#timeRange(series);
      }
      this.#checkedRows.set(series, series.rows);
    }
  }

  /** Every write stands once, applied, at its place. */
  async #writes(series: ModelSeries): Promise<void> {
    const rows = await this.#store.postgres.query<{ id: string; key: string; first: number; rows: number }>(
      `select id, idempotency_key as key, first_row::int as first, rows::int from writes
       where series_id = $1 order by first_row`,
      [series.id],
    );
    const stored = rows.map(({ id, key, first, rows: count }) => `${id} ${key} ${first} ${count}`);
    const sent = series.batches.map((batch) => `${batch.write} ${batch.key} ${batch.firstRow} ${batch.rows}`);
    const at = sent.findIndex((line, i) => line !== stored[i]);
    demand(at < 0 && sent.length === stored.length, () => {
      return `${series.name}: ${sent.length} writes were sent, ${stored.length} are stored; sent ${sent[at]}, stored ${stored[at]}`;
    });
  }

  async #rows(series: ModelSeries, whole: boolean): Promise<void> {
    const from = whole ? 0 : Math.max(0, (this.#checkedRows.get(series) ?? 0) - OVERLAP_ROWS);
    const { bytes, rows } = await this.#read(series, `rows=${from}:`);
    demand(from + rows === series.rows, () => {
      return `${series.name} has ${from + rows} rows; ${series.rows} were acknowledged`;
    });
    const expected = series.octetsBetween(from, series.rows);
    demand(bytes.equals(expected), () => {
      const at = expected.findIndex((byte, i) => byte !== bytes[i]);
      return `${series.name}: row ${from + Math.floor(at / series.recordBytes)} is not what was acknowledged`;
    });
  }

  /** Irregular: rows in order of time, by the series' rule; all of them, or those about the time of what came last. */
  async #timeOrder(series: ModelSeries, whole: boolean): Promise<void> {
    const newest = series.batches.at(-1)?.times?.at(-1);
    if (newest === undefined) return;
    const start = whole ? 0n : newest - BigInt(this.#random.between(1, RECENT_NS));
    const end = newest + BigInt(RECENT_NS);
    const { bytes } = await this.#read(series, `start=${start}&end=${end}`);
    demand(bytes.equals(series.octetsInTime(start, end)), () => {
      return `${series.name}: wrong rows or order when read from ${start} to ${end}`;
    });
  }

  /** Regular: a range of times is the rows that the oracle says. */
  async #timeRange(series: ModelSeries): Promise<void> {
    if (series.rows === 0) return;
    const a = this.#random.between(0, series.rows - 1);
    const b = this.#random.between(a, series.rows - 1);
    const { bytes } = await this.#read(series, `start=${series.timeOf(a)}&end=${series.timeOf(b)}`);
    demand(bytes.equals(series.octetsBetween(a, b)), () => `${series.name}: wrong rows for the times of ${a}:${b}`);
  }

  async #read(series: ModelSeries, selection: string): Promise<{ bytes: Buffer; rows: number }> {
    const { url } = this.#random.pick(this.#store.servers);
    const response = await fetch(`${url}/v1/series/${series.id}/samples?${selection}&format=octet`, {
      headers: this.#store.headers,
      signal: AbortSignal.timeout(REQUEST_LIMIT_MS),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    demand(
      response.status === 200,
      () => `reading ${series.name} ${selection}: ${response.status} ${bytes.toString()}`,
    );
    return { bytes, rows: Number(response.headers.get('x-varve-rows')) };
  }

  /**
   * Every shard that has changed opens in other people's HDF5, and holds the rows and times it should.
   * @returns how many shards there are
   */
  async shards(): Promise<number> {
    const rows = await this.#store.postgres.query<SeriesInShard>(
      `select s.path, s.state = 'sealed' as sealed, c.series_id as series, min(c.first_row)::int as first, max(c.dataset_row + c.rows)::int as rows,
         jsonb_agg(jsonb_build_array(c.dataset_row, c.dataset_row + c.rows) order by c.dataset_row) as ranges
       from shards s join chunks c on c.shard_id = s.id group by s.path, s.state, c.series_id`,
    );
    const shards = new Map<string, typeof rows>();
    for (const row of rows) shards.set(row.path, [...(shards.get(row.path) ?? []), row]);
    for (const [relative, parts] of shards) {
      const path = join(this.#store.dataRoot, relative);
      demand(existsSync(path), () => `shard ${path} is missing`);
      const { mtimeMs, size } = statSync(path);
      const form = `${mtimeMs} ${size} ${existsSync(`${path}.journal`)}`;
      if (this.#judged.get(path) === form) continue;
      const found = await this.#judge.look(path, Object.fromEntries(parts.map((part) => [part.series, part.ranges])));
      for (const { series: id, first, rows: count, ranges, sealed } of parts) {
        const series = this.#store.series.find((each) => each.id === id)!;
        const where = `${path}, ${series.name}`;
        const seen = found[id];
        demand(seen.extent >= count, () => `${where}: ${seen.extent} rows, the catalog has ${count}`);
        demand(
          seen.first_row === first,
          () => `${where}: begins with row ${seen.first_row}, the catalog says ${first}`,
        );
        if (sealed) this.sealedSeries++;
        if (sealed && series.irregular) continue; // sorted: what it holds is compared when it is read by time
        // A sealed shard need not have all rows between its first and its last.
        const expected = ranges.map(([from, to]) => series.rowsBetween(first + from, first + to));
        demand(
          seen.values_crc === crc32(Buffer.concat(expected.map(({ values }) => values))),
          () => `${where}: h5py reads other values than were sent`,
        );
        if (series.irregular) {
          const times = expected.map((each) => new Uint8Array(each.times.buffer));
          demand(
            seen.times_crc === crc32(Buffer.concat(times)),
            () => `${where}: h5py reads other times than were sent`,
          );
        } else {
          const segments = (seen.segments ?? []).filter(([row]) => row < first + count).map(String);
          const sent = series.segments.filter(({ firstRow }) => firstRow > first && firstRow < first + count);
          const starts = [first, ...sent.map(({ firstRow }) => firstRow)];
          const wanted = starts.map((row) => String([row, String(series.timeOf(row))]));
          demand(segments.join(' ') === wanted.join(' '), () => {
            return `${where}: segments are ${segments.join(' ')}, not ${wanted.join(' ')}`;
          });
        }
      }
      this.#judged.set(path, form);
    }
    return shards.size;
  }

  /** `varve verify` finds nothing. */
  async verify(): Promise<void> {
    const { code, text } = await new Promise<{ code: unknown; text: string }>((resolve) => {
      const env = { PATH: process.env.PATH, ...this.#store.env };
      execFile(process.execPath, [CLI, 'verify', '--json'], { env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) =>
        resolve({ code: error?.code ?? 0, text: out + err }),
      );
    });
    demand(code === 0, () => `varve verify: ${text}`);
  }

  /** What applied writes and cut uploads have left in the spool goes, once it is old enough. @returns how many files there were */
  async spool(): Promise<number> {
    const folder = join(this.#store.dataRoot, 'spool');
    const left = readdirSync(folder);
    if (left.length === 0) return 0;
    const old = Date.now() / 1000 - OLD_S;
    for (const name of left) utimesSync(join(folder, name), old, old);
    const [worker] = this.#store.workers;
    await worker.terminate();
    await worker.start(); // sweeps at once
    const empty = await until(SWEEP_LIMIT_MS, POLL_MS, () => readdirSync(folder).length === 0);
    demand(empty, () => `the spool keeps ${readdirSync(folder).join(', ')}`);
    return left.length;
  }

  /** Processes run unless they were told not to, and said nothing that only a bug says. */
  processes(): void {
    for (const process of this.#store.processes) {
      const end = process.takeOwnEnd();
      demand(end === null, () => end!);
    }
  }
}
