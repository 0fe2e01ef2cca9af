/**
 * A peer that is a library. It runs in a process of its own as long as the bench. It is timed inside that process,
 * around the calls to the library alone. It compares its answers there, too. It takes one JSON request a line on
 * standard input, and gives one JSON answer a line on standard output.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { projectRoot } from '../../test/support/project-root.ts';
import { WrongAnswer } from '../answers.ts';
import { peakRssMb } from '../machine.ts';
import type { Workload } from '../workload.ts';
import type { Peer, Place } from './peer.ts';

const PYTHONS = ['python3', '/usr/bin/python3'];

type Library = ChildProcessByStdio<Writable, Readable, Readable>;

/** The first line it prints. */
interface Hello {
  readonly pid: number;
  readonly version: string;
}

export class LibraryPeer implements Peer {
  readonly name: string;
  readonly layout: string;
  readonly version: string;
  readonly #pid: number;
  readonly #folder: string;
  readonly #process: Library;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  #complaint = '';

  protected constructor(title: Title, folder: string, { process, lines, hello }: Started) {
    this.name = title.name;
    this.layout = title.layout;
    this.version = hello.version;
    this.#pid = hello.pid;
    this.#folder = folder;
    this.#process = process;
    this.#lines = lines;
    this.#closed = once(process, 'close');
    // One that has ended says so by its output.
    process.stdin.on('error', () => {});
    process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaint += text));
  }

  /** @param script in this folder, told its folder. @returns null if no Python here has what it imports */
  static async startPython(title: Title, script: string, folder: string): Promise<LibraryPeer | null> {
    const path = join(projectRoot(), 'bench', 'peers', script);
    for (const python of PYTHONS) {
      // Without -B it would leave its compiled self beside our sources.
      const started = await start(python, ['-B', path, folder]);
      if (started) return new this(title, folder, started);
    }
    return null;
  }

  /** @param script a compiled one, told its folder. @returns null if what it imports is not installed */
  static async startNode(title: Title, script: string, folder: string): Promise<LibraryPeer | null> {
    const started = await start(process.execPath, [script, folder]);
    return started && new this(title, folder, started);
  }

  async load(workload: Workload): Promise<void> {
    const path = join(this.#folder, 'values.f64');
    await writeFile(path, workload.series);
    await this.call('load', { path, series: workload.series.length });
  }

  async ingest(): Promise<number> {
    return (await this.timed('ingest', {}))[0];
  }

  read(places: readonly Place[]): Promise<number[]> {
    return this.timed('read', { places: places.map(({ series, from, to }) => [series, from, to]) });
  }

  append(count: number): Promise<number[]> {
    return this.timed('append', { count });
  }

  async diskMb(): Promise<number> {
    return ((await this.call('disk', {})) as { mb: number }).mb;
  }

  /** With the values themselves, which it holds in memory. */
  peakRssMb(): number | null {
    return peakRssMb(this.#pid);
  }

  async stop(): Promise<void> {
    this.#process.stdin.end();
    await this.#closed;
  }

  protected async timed(call: string, request: object): Promise<number[]> {
    return ((await this.call(call, request)) as { ms: number[] }).ms;
  }

  protected async call(call: string, request: object): Promise<unknown> {
    this.#process.stdin.write(`${JSON.stringify({ call, ...request })}\n`);
    const line = await this.#lines.next();
    if (line.done) {
      await this.#closed;
      throw new Error(`${this.name} ended during ${call}:\n${this.#complaint}`);
    }
    const answer = JSON.parse(line.value) as { wrong?: string };
    if (answer.wrong !== undefined) throw new WrongAnswer(`${this.name}: ${answer.wrong}`);
    return answer;
  }
}

interface Title {
  readonly name: string;
  readonly layout: string;
}

interface Started {
  readonly process: Library;
  readonly lines: AsyncIterator<string>;
  readonly hello: Hello;
}

async function start(command: string, args: readonly string[]): Promise<Started | null> {
  const process = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const failed = once(process, 'error').catch(() => {});
  const lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  const first = await Promise.race([lines.next(), failed]);
  const said = first && 'done' in first && !first.done;
  return said ? { process, lines, hello: JSON.parse(first.value) as Hello } : null;
}
