/** DuckDB in this process, asked by the bench in the words of `library_peer.py`. */
import { lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import {
  BIGINT,
  DOUBLE,
  type DuckDBBigIntVector,
  DuckDBDataChunk,
  type DuckDBDoubleVector,
  DuckDBInstance,
  type DuckDBSmallIntVector,
  SMALLINT,
  version,
  type DuckDBConnection,
} from '@duckdb/node-api';
import { START_MS } from '../workload.ts';

/** Rows of a data chunk: DuckDB takes no more. */
const CHUNK_ROWS = 2048;

type Place = readonly [series: number, from: number, to: number];

class DuckDb {
  readonly #connection: DuckDBConnection;
  readonly #path: string;
  #series: Float64Array[] = [];

  constructor(connection: DuckDBConnection, path: string) {
    this.#connection = connection;
    this.#path = path;
  }

  async load({ path, series }: { path: string; series: number }): Promise<object> {
    const file = readFileSync(path);
    const bytes = file.length / series;
    this.#series = Array.from({ length: series }, (_, i) => {
      const values = file.subarray(i * bytes, (i + 1) * bytes);
      return new Float64Array(values.buffer, values.byteOffset, values.length / Float64Array.BYTES_PER_ELEMENT);
    });
    return {};
  }

  /** All series into a new table, in one transaction. */
  async ingest(): Promise<object> {
    await this.#connection.run('drop table if exists samples');
    const begun = performance.now();
    await this.#connection.run('begin');
    await this.#connection.run('create table samples (series smallint, ms bigint, value double)');
    const appender = await this.#connection.createAppender('samples');
    for (const [i, values] of this.#series.entries()) {
      for (let row = 0; row < values.length; row += CHUNK_ROWS) {
        appender.appendDataChunk(chunkOf(i, row, values.subarray(row, row + CHUNK_ROWS)));
      }
    }
    appender.closeSync();
    await this.#connection.run('commit');
    return { ms: [performance.now() - begun] };
  }

  async read({ places }: { places: readonly Place[] }): Promise<object> {
    const ms: number[] = [];
    for (const [series, from, to] of places) {
      const begun = performance.now();
      const found = await this.#rows(series, from, to);
      ms.push(performance.now() - begun);
      const sent = this.#series[series].subarray(from, to);
      // As bytes: of two numbers that are equal, one may be a zero with a sign.
      if (!bytesOf(found).equals(bytesOf(sent))) return { wrong: `rows ${from}:${to} of series ${series} are others` };
    }
    return { ms };
  }

  async #rows(series: number, from: number, to: number): Promise<Float64Array> {
    const answer = await this.#connection.run(
      `select value from samples where series = ${series} and ms >= ${START_MS + from} and ms < ${START_MS + to} order by ms`,
    );
    const chunks = await answer.fetchAllChunks();
    const values = new Float64Array(chunks.reduce((rows, chunk) => rows + chunk.rowCount, 0));
    let at = 0;
    for (const chunk of chunks) {
      const column = chunk.getColumnVector(0) as DuckDBDoubleVector;
      for (let i = 0; i < chunk.rowCount; i++) values[at++] = column.getItem(i) ?? Number.NaN;
    }
    return values;
  }

  /** Rows one by one, a transaction each. */
  async append({ count }: { count: number }): Promise<object> {
    await this.#connection.run('create or replace table appended (ms bigint, value double)');
    const ms: number[] = [];
    for (let row = 0; row < count; row++) {
      const begun = performance.now();
      await this.#connection.run('insert into appended values ($1, $2)', [BigInt(START_MS + row), Math.sin(row)]);
      ms.push(performance.now() - begun);
    }
    const found = (await this.#connection.runAndReadAll('select value from appended order by ms')).getColumns()[0];
    const isSame = found.length === count && found.every((value, row) => Object.is(value, Math.sin(row)));
    return isSame ? { ms } : { wrong: 'rows appended one by one are others' };
  }

  async disk(): Promise<object> {
    await this.#connection.run('checkpoint');
    return { mb: (lstatSync(this.#path).blocks * 512) / 1e6 };
  }
}

function chunkOf(series: number, firstRow: number, values: Float64Array): DuckDBDataChunk {
  const chunk = DuckDBDataChunk.create([SMALLINT, BIGINT, DOUBLE], values.length);
  const keys = chunk.getColumnVector(0) as DuckDBSmallIntVector;
  const times = chunk.getColumnVector(1) as DuckDBBigIntVector;
  const column = chunk.getColumnVector(2) as DuckDBDoubleVector;
  for (let i = 0; i < values.length; i++) {
    keys.setItem(i, series);
    times.setItem(i, BigInt(START_MS + firstRow + i));
    column.setItem(i, values[i]);
  }
  for (const vector of [keys, times, column]) vector.flush();
  return chunk;
}

function bytesOf({ buffer, byteOffset, byteLength }: Float64Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

const path = join(process.argv[2], 'peer.duckdb');
const instance = await DuckDBInstance.create(path);
const connection = await instance.connect();
const peer = new DuckDb(connection, path);
const answer = (content: object): void => console.log(JSON.stringify(content));
answer({ version: version(), pid: process.pid });
for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...request } = JSON.parse(line) as { call: 'load' | 'ingest' | 'read' | 'append' | 'disk' };
  answer(await peer[call](request as never));
}
connection.closeSync();
instance.closeSync();
