/** The peer: h5py in a Python process that lives as long as the bench, timed inside that process. No service can be faster. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { projectRoot } from '../test/support/project-root.ts';
import { peakRssMb } from './machine.ts';
import type { Workload } from './workload.ts';

const PYTHONS = ['python3', '/usr/bin/python3'];

/** Rows `[from, to)` of one series of the workload. */
export interface Place {
  readonly series: number;
  readonly from: number;
  readonly to: number;
}

type Python = ChildProcessByStdio<Writable, Readable, Readable>;

export class H5py {
  /** For the table. */
  readonly version: string;
  readonly #pid: number;
  readonly #folder: string;
  readonly #python: Python;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  #complaint = '';

  private constructor(folder: string, python: Python, lines: AsyncIterator<string>, hello: Hello) {
    this.version = `h5py ${hello.h5py} with HDF5 ${hello.hdf5}`;
    this.#pid = hello.pid;
    this.#folder = folder;
    this.#python = python;
    this.#lines = lines;
    this.#closed = once(python, 'close');
    python.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
  }

  /**
   * @param folder for its files; on the same disk as the service's
   * @returns null if no Python here has h5py
   */
  static async start(folder: string): Promise<H5py | null> {
    const script = join(projectRoot(), 'bench', 'h5py_peer.py');
    for (const name of PYTHONS) {
      const python = spawn(name, [script, folder], { stdio: ['pipe', 'pipe', 'pipe'] });
      const failed = once(python, 'error').catch(() => {});
      const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]();
      const hello = await Promise.race([lines.next(), failed]);
      if (hello && 'done' in hello && !hello.done) {
        return new H5py(folder, python, lines, JSON.parse(hello.value) as Hello);
      }
    }
    return null;
  }

  /** Gives it the values, in its memory. */
  async load(workload: Workload): Promise<void> {
    const path = join(this.#folder, 'values.f64');
    await writeFile(path, workload.series);
    await this.#call('load', { path, series: workload.series.length });
  }

  /** Writes all series into a new file, chunked, no filter, and fsyncs it. @returns ms */
  async write(): Promise<number> {
    return (await this.#timed('write', {}))[0];
  }

  /** As {@link write}, with shuffle and gzip 1. @returns ms */
  async writeCompressed(): Promise<number> {
    return (await this.#timed('write', { compressed: true }))[0];
  }

  /** Reads places of the file, one after the other. @returns ms of each */
  read(places: readonly Place[]): Promise<number[]> {
    return this.#timed('read', { places: places.map(({ series, from, to }) => [series, from, to]) });
  }

  /** Appends rows one by one, each with its fsync. @returns ms of each */
  append(count: number): Promise<number[]> {
    return this.#timed('append', { count });
  }

  async diskMb(): Promise<number> {
    return ((await this.#call('disk', {})) as { mb: number }).mb;
  }

  /** With the values themselves, which it holds in memory. */
  peakRssMb(): number | null {
    return peakRssMb(this.#pid);
  }

  async stop(): Promise<void> {
    this.#python.stdin.end();
    await this.#closed;
  }

  async #timed(call: string, request: object): Promise<number[]> {
    return ((await this.#call(call, request)) as { ms: number[] }).ms;
  }

  async #call(call: string, request: object): Promise<unknown> {
    this.#python.stdin.write(`${JSON.stringify({ call, ...request })}\n`);
    const line = await this.#lines.next();
    if (line.done) throw new Error(`h5py ended during ${call}:\n${this.#complaint}`);
    return JSON.parse(line.value);
  }
}

interface Hello {
  readonly h5py: string;
  readonly hdf5: string;
  readonly pid: number;
}
