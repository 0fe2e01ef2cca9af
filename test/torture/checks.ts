/** What must hold once everything runs again. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { demand } from './finding.ts';
import type { Hdf5Judge } from './hdf5-judge.ts';
import type { ModelSeries } from './model-series.ts';
import { until } from './pause.ts';
import type { Random } from './random.ts';
import type { Store } from './store.ts';
import { CLI } from './varve-process.ts';

/** Longer than a flush of a process that is gone is waited for, and a lane rests after failures, together. */
const FLUSH_LIMIT_MS = 150_000;
const POLL_MS = 50;
const REQUEST_LIMIT_MS = 60_000;
const READY_LIMIT_MS = 20_000;
/** Older than any grace of recovery. */
const OLD_S = 48 * 3600;
/** Rows before the last checked ones that are read again: where two appends meet is where they would be torn. */
const OVERLAP_ROWS = 30_000;
/** Rows of irregular series are up to a millisecond apart. */
const RECENT_NS = 2_000_000_000;

interface ChunkInShard {
  readonly path: string;
  readonly series: string;
  readonly generation: number;
  readonly first: number;
  readonly rows: number;
  /** First row in the dataset. */
  readonly at: number;
}

export class Checks {
  /** Files that were judged, and how many of them were made by compaction. */
  judged = 0;
  compacted = 0;
  /** Hash of every file that was ever seen: it must never change. */
  readonly #hashes = new Map<string, string>();
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
      let last = '';
      const ready = await until(READY_LIMIT_MS, POLL_MS, async () => {
        const response = await fetch(`${server.url}/readyz`, { signal: AbortSignal.timeout(REQUEST_LIMIT_MS) }).catch(
          () => null,
        );
        last = (await response?.text().catch(() => '')) ?? '';
        return response?.status === 200;
      });
      demand(ready, () => `${server.name} does not become ready: ${last}`);
    }
  }

  /** Waits until all that was acknowledged is in shards, edits among it. */
  async flushed(): Promise<void> {
    let left = {};
    const done = await until(FLUSH_LIMIT_MS, POLL_MS, async () => {
      const [row] = await this.#store.postgres.query<{ fresh: number; untold: number }>(
        `select (select count(*)::int from fresh) as fresh,
           (select count(*)::int from heads h join lanes l on l.id = h.lane_id where h.masked_commit > l.flushed_commit) as untold`,
      );
      left = row;
      return row.fresh === 0 && row.untold === 0;
    });
    demand(done, () => `not flushed ${FLUSH_LIMIT_MS} ms after everything came back: ${JSON.stringify(left)}`);
  }

  /** @param whole everything, instead of what has been added since the last time */
  async samples(whole: boolean): Promise<void> {
    const [damage] = await this.#store.postgres.query<{ shards: number; chunks: number }>(
      `select (select count(*)::int from shards where state in ('lost', 'damaged')) as shards,
         (select count(*)::int from fresh where damaged_at is not null) as chunks`,
    );
    demand(damage.shards === 0 && damage.chunks === 0, () => `there is damage: ${JSON.stringify(damage)}`);
    for (const series of this.#store.series) {
      await this.#writes(series);
      if (series.irregular) await this.#timeOrder(series, whole);
      else {
        await this.#rows(series, whole);
        await this.#timeRange(series);
      }
      this.#checkedRows.set(series, series.rows);
    }
  }

  /** Every write stands once, at its place, in the order in which it was sent. */
  async #writes(series: ModelSeries): Promise<void> {
    const rows = await this.#store.postgres.query<{ write: string; key: string; first: number | null; rows: number }>(
      `select "commit" || '-' || ordinal as write, key, first_row::int as first, rows::int from append_keys
       where series_id = $1 order by "commit", ordinal`,
      [series.id],
    );
    const stored = rows.map(({ write, key }) => `${write} ${key}`);
    const sent = series.writes.map(({ write, key }) => `${write} ${key}`);
    const at = sent.findIndex((line, i) => line !== stored[i]);
    demand(at < 0 && sent.length === stored.length, () => {
      return `${series.name}: ${sent.length} writes were sent, ${stored.length} are stored; sent ${sent[at]}, stored ${stored[at]}`;
    });
    const [head] = await this.#store.postgres.query<{ rows: number; edits: number }>(
      'select rows::int, edits from heads where series_id = $1',
      [series.id],
    );
    demand(head.rows === series.rows && head.edits === series.edits, () => {
      return `${series.name} has ${head.rows} rows and ${head.edits} edits, not ${series.rows} and ${series.edits}`;
    });
  }

  async #rows(series: ModelSeries, whole: boolean): Promise<void> {
    const from = whole ? 0 : Math.max(0, (this.#checkedRows.get(series) ?? 0) - OVERLAP_ROWS);
    const bytes = await this.#read(series, `rows=${from}:`);
    const expected = series.rowsOf({ from, to: series.rows });
    demand(bytes.equals(expected), () => {
      const at = expected.findIndex((byte, i) => byte !== bytes[i]);
      const row = Math.floor((at < 0 ? bytes.length : at) / series.rowBytes);
      return `${series.name} from row ${from}: ${bytes.length} bytes, ${expected.length} were expected; the ${row}th row differs`;
    });
  }

  /** Irregular: rows in order of time, by the series' rule; all of them, or those about the time of what came last. */
  async #timeOrder(series: ModelSeries, whole: boolean): Promise<void> {
    const newest = series.newestNs;
    const start = whole ? 0n : newest - BigInt(this.#random.between(1, RECENT_NS));
    const end = newest + BigInt(RECENT_NS);
    const bytes = await this.#read(series, `start=${start}&end=${end}`);
    demand(bytes.equals(series.octetsInTime(start, end)), () => {
      return `${series.name}: wrong rows or order when read from ${start} to ${end}`;
    });
  }

  /** Regular: a range of times is the rows that the oracle says. */
  async #timeRange(series: ModelSeries): Promise<void> {
    if (series.rows === 0) return;
    const from = this.#random.between(0, series.rows - 1);
    const to = this.#random.between(from, series.rows - 1);
    const bytes = await this.#read(series, `start=${series.timeOf(from)}&end=${series.timeOf(to)}`);
    demand(
      bytes.equals(series.rowsOf({ from, to })),
      () => `${series.name}: wrong rows for the times of ${from}:${to}`,
    );
  }

  async #read(series: ModelSeries, selection: string): Promise<Buffer> {
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
    return bytes;
  }

  /**
   * Checks the files. None has changed since it was seen first, every new one opens in other people's HDF5, and those
   * that readers use hold what they should.
   * @returns how many files there are
   */
  async shards(): Promise<number> {
    const chunks = await this.#store.postgres.query<ChunkInShard>(
      `select s.path, c.series_id as series, c.generation, c.first_row::int as first, c.rows::int as rows, c.dataset_row::int as at
       from shards s join chunks c on c.shard_id = s.id where s.state = 'live' order by c.first_row`,
    );
    const byPath = new Map<string, ChunkInShard[]>();
    for (const chunk of chunks) byPath.set(chunk.path, [...(byPath.get(chunk.path) ?? []), chunk]);
    for (const path of byPath.keys()) {
      demand(existsSync(join(this.#store.dataRoot, path)), () => `shard ${path} is missing`);
    }
    const names = this.#files();
    for (const path of names) {
      const hash = this.#hash(path);
      const known = this.#hashes.get(path);
      if (hash === null || known === hash) continue;
      demand(known === undefined, () => `${path} has changed since it got its name`);
      this.#hashes.set(path, hash);
      await this.#judgeFile(path, byPath.get(path) ?? []);
    }
    return names.length;
  }

  #files(): string[] {
    const names = readdirSync(join(this.#store.dataRoot, 'shards'), { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.h5')).map((name) => `shards/${name}`);
  }

  /** @returns null: it was replaced, and is gone by now */
  #hash(path: string): string | null {
    try {
      return createHash('sha256')
        .update(readFileSync(join(this.#store.dataRoot, path)))
        .digest('hex');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  async #judgeFile(path: string, chunks: readonly ChunkInShard[]): Promise<void> {
    const ids = [...new Set(chunks.map(({ series }) => series))];
    const of = (id: string): ChunkInShard[] => chunks.filter(({ series }) => series === id);
    const ranges = Object.fromEntries(ids.map((id) => [id, of(id).map(({ at, rows }) => [at, at + rows] as const)]));
    const file = join(this.#store.dataRoot, path);
    if (!existsSync(file)) return;
    const seen = await this.#judge.look(file, ranges);
    this.judged++;
    if (Object.values(seen).some(({ level }) => level === 1)) this.compacted++;
    for (const id of ids) {
      const series = this.#store.series.find((each) => each.id === id)!;
      const where = `${path}, ${series.name}`;
      const needed = Math.max(...of(id).map(({ at, rows }) => at + rows));
      demand(seen[id].extent >= needed, () => `${where}: ${seen[id].extent} rows, the catalog has ${needed}`);
      demand(seen[id].name === series.name, () => `${where}: it is called ${seen[id].name}`);
      if (series.irregular) continue; // sorted: what it holds is compared when it is read by time
      const values = of(id).map(({ first, rows, generation }) =>
        series.chunkValues({ from: first, to: first + rows }, generation),
      );
      if (seen[id].values_crc === crc32(Buffer.concat(values))) continue;
      for (const [i, chunk] of of(id).entries()) {
        const { at, rows, first, generation } = chunk;
        const alone = await this.#judge.look(file, { [id]: [[at, at + rows]] });
        demand(alone[id].values_crc === crc32(values[i]), () => {
          const edits = series.writesOver({ from: first, to: first + rows }).join('; ');
          return `${where}: of the rows ${first} to ${first + rows}, generation ${generation}, h5py reads other values than were sent; edits: ${edits}`;
        });
      }
    }
  }

  /** `varve verify` finds nothing. */
  async verify(): Promise<void> {
    await this.#varve(['verify', '--json']);
  }

  /** What is left over goes, once it is old enough. @returns how many files there were in the spool */
  async spool(): Promise<number> {
    const folder = join(this.#store.dataRoot, 'spool');
    const left = readdirSync(folder);
    await this.#varve(['flush', '--all']);
    await this.#store.postgres.query(
      `update spool_files set made_at = made_at - interval '2 days', freed_at = freed_at - interval '2 days'`,
    );
    await this.#store.postgres.query(`update shards set made_at = made_at - interval '2 days' where state = 'writing'`);
    const old = Date.now() / 1000 - OLD_S;
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), old, old);
    await this.#varve(['flush', '--all']); // sweeps, too
    await this.#varve(['recover']);
    const names = readdirSync(folder);
    demand(names.length === 0, () => `the spool keeps ${names.join(', ')}`);
    await this.#varve(['verify', '--json']);
    return left.length;
  }

  async #varve(args: readonly string[]): Promise<void> {
    const { code, text } = await new Promise<{ code: unknown; text: string }>((resolve) => {
      const env = { PATH: process.env.PATH, ...this.#store.env };
      execFile(process.execPath, [CLI, ...args], { env, maxBuffer: 64 * 1024 * 1024 }, (error, out, err) =>
        resolve({ code: error?.code ?? 0, text: out + err }),
      );
    });
    demand(code === 0, () => `varve ${args.join(' ')}: ${text}`);
  }

  /** Processes run unless they were told not to, and said nothing that only a bug says. */
  processes(): void {
    for (const process of this.#store.processes) {
      const end = process.takeOwnEnd();
      demand(end === null, () => end!);
    }
  }
}
