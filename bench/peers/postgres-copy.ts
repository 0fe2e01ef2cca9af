/** COPY over a connection of `pg`, which knows the messages and has no statement for them; and the binary rows that it carries. */
import type pg from 'pg';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** The signature, flags and the length of an extension: both zero. */
const HEAD_BYTES = SIGNATURE.length + 8;
const END = Buffer.from([0xff, 0xff]);
/** A message is an allocation of the driver. */
const MESSAGE_BYTES = 1024 * 1024;

/** What `pg` gives to a statement that answers the protocol by itself. */
interface Connection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/** A COPY in either direction, as `Client.query` takes it. */
class Copy implements pg.Submittable {
  readonly answered: Promise<Buffer>;
  readonly #statement: string;
  readonly #rows: Buffer;
  #received = Buffer.allocUnsafe(MESSAGE_BYTES);
  #length = 0;
  #resolve: (received: Buffer) => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor(statement: string, rows: Buffer) {
    this.#statement = statement;
    this.#rows = rows;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  submit(connection: pg.Connection): void {
    (connection as unknown as Connection).query(this.#statement);
  }

  handleCopyInResponse(connection: Connection): void {
    for (let at = 0; at < this.#rows.length; at += MESSAGE_BYTES) {
      connection.sendCopyFromChunk(this.#rows.subarray(at, at + MESSAGE_BYTES));
    }
    connection.endCopyFrom();
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    // A row each, in memory that the driver takes for the next ones.
    if (this.#length + chunk.length > this.#received.length) {
      this.#received = Buffer.concat([this.#received], this.#received.length * 2 + chunk.length);
    }
    this.#length += chunk.copy(this.#received, this.#length);
  }

  handleError(error: Error): void {
    this.#reject(error);
  }

  handleReadyForQuery(): void {
    this.#resolve(this.#received.subarray(0, this.#length));
  }

  handleCommandComplete(): void {}
}

export async function copyIn(client: pg.Client, statement: string, rows: Buffer): Promise<void> {
  await client.query(new Copy(statement, rows)).answered;
}

export function copyOut(client: pg.Client, statement: string): Promise<Buffer> {
  return client.query(new Copy(statement, Buffer.alloc(0))).answered;
}

/** @param write puts a row's fields, each after its length, at an offset */
export function encodeRows(
  rows: number,
  fields: number,
  rowBytes: number,
  write: (into: Buffer, at: number, row: number) => void,
): Buffer {
  const stride = 2 + rowBytes;
  const all = Buffer.alloc(HEAD_BYTES + rows * stride + END.length);
  SIGNATURE.copy(all);
  for (let row = 0; row < rows; row++) {
    const at = HEAD_BYTES + row * stride;
    all.writeInt16BE(fields, at);
    write(all, at + 2, row);
  }
  END.copy(all, all.length - END.length);
  return all;
}

/** @param answer rows of one float8 that is never null */
export function decodeDoubles(answer: Buffer): Float64Array {
  const stride = 2 + 4 + 8;
  const rows = (answer.length - HEAD_BYTES - END.length) / stride;
  return Float64Array.from({ length: rows }, (_, row) => answer.readDoubleBE(HEAD_BYTES + row * stride + 6));
}
