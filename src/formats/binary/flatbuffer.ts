/**
 * Tables of a flatbuffer, read where they lie. What a client sent may be damaged, so no length is believed. Whatever
 * points out of the bytes is a RangeError, and nothing is allocated for it.
 * @see https://flatbuffers.dev/internals/
 */

import { utf8Text } from './utf8.ts';

export class FlatTable {
  readonly #view: DataView;
  readonly #at: number;

  private constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
  }

  /** @throws RangeError, as all other methods */
  static root(bytes: Uint8Array): FlatTable {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new FlatTable(view, view.getUint32(0, true));
  }

  /** The field's number, its default if it is left out. */
  uint8(field: number, otherwise = 0): number {
    const at = this.#place(field);
    return at === null ? otherwise : this.#view.getUint8(at);
  }

  int16(field: number, otherwise = 0): number {
    const at = this.#place(field);
    return at === null ? otherwise : this.#view.getInt16(at, true);
  }

  int32(field: number, otherwise = 0): number {
    const at = this.#place(field);
    return at === null ? otherwise : this.#view.getInt32(at, true);
  }

  /** @throws RangeError for one that is negative or past 2^53, which no length or place is */
  length(field: number): number {
    const at = this.#place(field);
    return at === null ? 0 : this.#lengthAt(at);
  }

  table(field: number): FlatTable | null {
    const at = this.#place(field);
    return at === null ? null : this.#tableAt(at);
  }

  /** @throws invalid-input, too */
  text(field: number): string {
    const [at, length] = this.#vector(field, 1);
    return utf8Text(new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length), 'body');
  }

  tables(field: number): FlatTable[] {
    const [at, length] = this.#vector(field, 4);
    return Array.from({ length }, (_, i) => this.#tableAt(at + 4 * i));
  }

  /** A vector of structs of two int64 that are lengths or places. */
  pairs(field: number): (readonly [number, number])[] {
    const [at, length] = this.#vector(field, 16);
    return Array.from({ length }, (_, i) => [this.#lengthAt(at + 16 * i), this.#lengthAt(at + 16 * i + 8)] as const);
  }

  #place(field: number): number | null {
    const vtable = this.#at - this.#view.getInt32(this.#at, true);
    const entry = 4 + 2 * field;
    if (entry >= this.#view.getUint16(vtable, true)) return null;
    const offset = this.#view.getUint16(vtable + entry, true);
    return offset === 0 ? null : this.#at + offset;
  }

  #tableAt(at: number): FlatTable {
    return new FlatTable(this.#view, at + this.#view.getUint32(at, true));
  }

  #lengthAt(at: number): number {
    const value = this.#view.getBigInt64(at, true);
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`${value} is no length`);
    return Number(value);
  }

  /** Where its items begin, and how many there are. */
  #vector(field: number, itemBytes: number): [number, number] {
    const place = this.#place(field);
    if (place === null) return [0, 0];
    const at = place + this.#view.getUint32(place, true);
    const length = this.#view.getUint32(at, true);
    if (at + 4 + length * itemBytes > this.#view.byteLength) throw new RangeError('a vector leaves the buffer');
    return [at + 4, length];
  }
}
