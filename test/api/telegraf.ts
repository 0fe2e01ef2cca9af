/**
 * An agent that sends as Telegraf's outputs for InfluxDB do: its requests, and what it does with each answer. Version 1 drops a batch for any 4xx, version 2
 * splits it for 413, and both keep it for a 5xx.
 * @see https://github.com/influxdata/telegraf/tree/master/plugins/outputs
 */
import { gzipSync } from 'node:zlib';
import { ApiClient, type Address, type Answer } from './client.ts';

interface Settings {
  readonly version: 'v1' | 'v2';
  /** Database or bucket. */
  readonly target: string;
  readonly batchSize: number;
  readonly gzip: boolean;
}

export class Telegraf {
  /** Statuses of all answers, and what was told of batches that were dropped. */
  readonly statuses: number[] = [];
  readonly told: string[] = [];
  readonly #api: ApiClient;
  readonly #token: string;
  readonly #settings: Settings;
  #buffer: string[] = [];

  constructor(at: Address, settings: Settings) {
    this.#api = new ApiClient(at);
    this.#token = at.token;
    this.#settings = settings;
  }

  get buffered(): number {
    return this.#buffer.length;
  }

  /** @param metrics as they are serialized, each with a line end behind it */
  add(metrics: readonly string[]): void {
    this.#buffer.push(...metrics);
  }

  /** Sends batch after batch, until one is to be kept. */
  async flush(): Promise<void> {
    while (this.#buffer.length > 0) {
      const batch = this.#buffer.slice(0, this.#settings.batchSize);
      if (!(await this.#write(batch))) return;
      this.#buffer = this.#buffer.slice(batch.length);
    }
  }

  /** @returns false if it is to be tried again */
  async #write(batch: readonly string[]): Promise<boolean> {
    const answer = await this.#post(batch.join(''));
    this.statuses.push(answer.status);
    if (answer.status === 204) return true;
    const { error, message } = answer.json<{ error?: string; message?: string }>();
    if (answer.status === 413 && this.#settings.version === 'v2' && batch.length > 1) {
      const middle = Math.floor(batch.length / 2);
      return (await this.#write(batch.slice(0, middle))) && (await this.#write(batch.slice(middle)));
    }
    if (answer.status >= 500) {
      if (!(Number(answer.headers['retry-after']) > 0)) throw new Error('told to wait, but not for how long');
      return false;
    }
    this.told.push((this.#settings.version === 'v1' ? error : message) ?? `no message with ${answer.status}`);
    return true;
  }

  #post(lines: string): Promise<Answer> {
    const { version, target, gzip } = this.#settings;
    const query = new URLSearchParams(
      version === 'v1' ? { consistency: 'any', db: target } : { bucket: target, org: 'lab' },
    );
    const path = `${version === 'v1' ? '/write' : '/api/v2/write'}?${query.toString()}`;
    const authorization =
      version === 'v1' ? `Basic ${Buffer.from(`telegraf:${this.#token}`).toString('base64')}` : `Token ${this.#token}`;
    const headers = {
      authorization,
      'user-agent': 'Telegraf/1.33.0 Go/1.23.4',
      'content-type': 'text/plain; charset=utf-8',
      ...(gzip && { 'content-encoding': 'gzip' }),
    };
    return this.#api.send('POST', path, { token: null, headers, body: gzip ? pieces(gzipSync(lines)) : lines });
  }
}

/** Sent as it is made, without a length. */
async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes.length; from += 1024) yield bytes.subarray(from, from + 1024);
}
