/**
 * A peer that is a service. It is asked over its own protocol from the bench's process, as Varve is. What is sent is
 * encoded before the clock starts, and what is answered is decoded and compared after it has stopped. So the clock sees
 * bytes, and waits for the service alone.
 */
import { WrongAnswer } from '../answers.ts';
import { ROW_BYTES, type Workload } from '../workload.ts';
import type { HttpClient } from '../http.ts';
import type { Peer, Place } from './peer.ts';
import type { Program } from './program.ts';

/** What a service must know to be one. */
export interface Service {
  readonly name: string;
  readonly version: string;
  readonly layout: string;
  /** Largest error of a value, in parts of the largest value beside it; 0: it keeps every bit. */
  readonly tolerance?: number;
  /** Forgets what was ingested. */
  clear(): Promise<void>;
  /** @returns rows of one series in what {@link send} takes, in pieces of a request each */
  encode(series: number, values: Float64Array, firstRow: number): readonly Buffer[];
  send(piece: Buffer): Promise<void>;
  /** After all series have been sent: until they are readable. */
  finish(): Promise<void>;
  /** @returns the answer in its own format */
  ask(place: Place): Promise<Buffer>;
  decode(answer: Buffer): Float64Array;
  /** Size of what was ingested last, once its files are what they will be. */
  diskMb(): Promise<number>;
  peakRssMb(): number | null;
  stop(): Promise<void>;
}

/** A program that was started for the bench, and how it is asked. */
export interface StartedService {
  readonly folder: string;
  readonly url: string;
  readonly http: HttpClient;
  readonly program: Program;
  readonly version: string;
}

/** What all of them do alike. */
export abstract class StartedProgram {
  readonly version: string;
  protected readonly folder: string;
  protected readonly url: string;
  protected readonly http: HttpClient;
  readonly #program: Program;

  constructor({ folder, url, http, program, version }: StartedService) {
    this.version = version;
    this.folder = folder;
    this.url = url;
    this.http = http;
    this.#program = program;
  }

  peakRssMb(): number | null {
    return this.#program.peakRssMb();
  }

  async stop(): Promise<void> {
    this.http.close();
    await this.#program.stop();
  }
}

export class ServicePeer implements Peer {
  readonly #service: Service;
  #workload: Workload | null = null;
  #compared = 0;
  #unequal = 0;
  #worst = 0;

  constructor(service: Service) {
    this.#service = service;
  }

  get name(): string {
    return this.#service.name;
  }

  get version(): string {
    return this.#service.version;
  }

  get layout(): string {
    return this.#service.layout;
  }

  async load(workload: Workload): Promise<void> {
    this.#workload = workload;
  }

  async ingest(): Promise<number> {
    const service = this.#service;
    await service.clear();
    let ms = 0;
    for (const i of this.#loaded().series.keys()) {
      const pieces = service.encode(i, this.#sent({ series: i, from: 0, to: this.#loaded().rows }), 0);
      ms += await timed(async () => {
        for (const piece of pieces) await service.send(piece);
      });
    }
    return ms + (await timed(() => service.finish()));
  }

  async read(places: readonly Place[]): Promise<number[]> {
    const times: number[] = [];
    for (const place of places) {
      let answer: Buffer = Buffer.alloc(0);
      times.push(await timed(async () => void (answer = await this.#service.ask(place))));
      this.#compare(
        this.#service.decode(answer),
        this.#sent(place),
        `rows ${place.from}:${place.to} of series ${place.series}`,
      );
    }
    return times;
  }

  async append(count: number): Promise<number[]> {
    const service = this.#service;
    await service.clear();
    const times: number[] = [];
    const sent = Float64Array.from({ length: count }, (_, row) => Math.sin(row));
    for (let row = 0; row < count; row++) {
      const [piece] = service.encode(0, sent.subarray(row, row + 1), row);
      times.push(await timed(() => service.send(piece)));
    }
    await service.finish();
    this.#compare(
      service.decode(await service.ask({ series: 0, from: 0, to: count })),
      sent,
      'rows appended one by one',
    );
    return times;
  }

  diskMb(): Promise<number> {
    return this.#service.diskMb();
  }

  peakRssMb(): number | null {
    return this.#service.peakRssMb();
  }

  remark(): string | null {
    if (this.#unequal === 0) return null;
    const percent = Math.round((this.#unequal / this.#compared) * 100);
    return `${percent} % of the values it answered are not the ones that were sent, off by up to ${this.#worst.toExponential(0)} of the largest`;
  }

  stop(): Promise<void> {
    return this.#service.stop();
  }

  #loaded(): Workload {
    if (!this.#workload) throw new Error(`${this.name} has no workload`);
    return this.#workload;
  }

  #sent({ series, from, to }: Place): Float64Array {
    const bytes = this.#loaded().series[series];
    return new Float64Array(bytes.buffer, bytes.byteOffset + from * ROW_BYTES, to - from);
  }

  #compare(found: Float64Array, sent: Float64Array, what: string): void {
    if (found.length !== sent.length) throw new WrongAnswer(`${this.name}, ${what}: answered ${found.length} rows`);
    this.#compared += sent.length;
    if (bytesOf(found).equals(bytesOf(sent))) return;
    const largest = sent.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [row, value] of sent.entries()) {
      if (Object.is(found[row], value)) continue;
      const error = Math.abs(found[row] - value) / largest;
      if (!(error <= (this.#service.tolerance ?? 0))) {
        throw new WrongAnswer(`${this.name}, ${what}: answered ${found[row]} where ${value} was sent`);
      }
      this.#unequal++;
      this.#worst = Math.max(this.#worst, error);
    }
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
