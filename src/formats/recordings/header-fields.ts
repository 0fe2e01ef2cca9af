/** Numbers and texts at fixed places of a binary header. */
import { invalidField } from '../../core/errors.ts';
import { fieldText } from './header-text.ts';

/** Reads where the bytes are there, and names file and byte where they are not. */
export class HeaderFields {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: string;
  readonly #isLittle: boolean;
  /** Place of the first byte in the file. */
  readonly #from: number;

  constructor(bytes: Uint8Array, file: string, from = 0, isLittle = true) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#file = file;
    this.#from = from;
    this.#isLittle = isLittle;
  }

  int16(at: number): number {
    return this.#view.getInt16(this.#checked(at, 2), this.#isLittle);
  }

  uint16(at: number): number {
    return this.#view.getUint16(this.#checked(at, 2), this.#isLittle);
  }

  int32(at: number): number {
    return this.#view.getInt32(this.#checked(at, 4), this.#isLittle);
  }

  uint32(at: number): number {
    return this.#view.getUint32(this.#checked(at, 4), this.#isLittle);
  }

  /** @returns the nearest number: no length in a file is beyond 2^53 */
  int64(at: number): number {
    return Number(this.#view.getBigInt64(this.#checked(at, 8), this.#isLittle));
  }

  float32(at: number): number {
    return this.#view.getFloat32(this.#checked(at, 4), this.#isLittle);
  }

  float64(at: number): number {
    return this.#view.getFloat64(this.#checked(at, 8), this.#isLittle);
  }

  /** Up to a NUL, without outer spaces. */
  text(at: number, length: number): string {
    return fieldText(this.#bytes, this.#checked(at, length), length);
  }

  #checked(at: number, length: number): number {
    if (at < 0 || at + length > this.#bytes.length) {
      throw invalidField(this.#file, `ends before byte ${this.#from + at + length}, which its header needs`);
    }
    return at;
  }
}
