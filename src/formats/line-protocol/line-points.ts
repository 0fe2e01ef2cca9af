/** Holds the points of a body while it is read, in columns: eight bytes of value and eight of time each. No point is an object. */
import { NS_PER_S, TIME_MAX, TIME_MIN } from '../../core/time.ts';

/** What a value of a line is. Its place in the list is its code. */
export const VALUE_KINDS = ['float64', 'int64', 'uint64', 'uint8', 'text'] as const;
export type ValueKind = (typeof VALUE_KINDS)[number];
export const TEXT_CODE = VALUE_KINDS.indexOf('text');

const FIRST_POINTS = 1024;
const TWO_32 = 2 ** 32;
const TWO_16 = 2 ** 16;
const BILLION = 1e9;
const MIN_SECONDS = Number(TIME_MIN / NS_PER_S);
const MAX_SECONDS = Number(TIME_MAX / NS_PER_S);

export class LinePoints {
  count = 0;
  /** To which series each belongs. */
  series = new Int32Array(FIRST_POINTS);
  /** The number of its line. */
  lines = new Int32Array(FIRST_POINTS);
  /** Values: a float64, an int64, the byte of a boolean, or where a text begins and ends. */
  #values = new ArrayBuffer(FIRST_POINTS * 8);
  #floats = new Float64Array(this.#values);
  #words = new Int32Array(this.#values);
  #times = new ArrayBuffer(FIRST_POINTS * 8);
  #timeWords = new Int32Array(this.#times);

  get values(): ArrayBuffer {
    return this.#values;
  }

  get times(): ArrayBuffer {
    return this.#times;
  }

  addFloat(value: number): void {
    this.#make();
    this.#floats[this.count++] = value;
  }

  addWords(low: number, high: number): void {
    this.#make();
    this.#words[this.count * 2] = low;
    this.#words[this.count * 2 + 1] = high;
    this.count++;
  }

  /** @param value of 0 to 2^53 */
  addInteger(value: number, isNegative: boolean): void {
    const low = (value % TWO_32) | 0;
    const high = Math.floor(value / TWO_32) | 0;
    if (!isNegative) this.addWords(low, high);
    else this.addWords(-low | 0, ~high + (low === 0 ? 1 : 0));
  }

  addBigInteger(value: bigint): void {
    this.addWords(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
  }

  /**
   * Gives the points from one on their time.
   * @param seconds since 1970, whole. @param ns of 0 to 999,999,999. @param isNegative whether they count back from 1970, both
   * @returns false if it is none
   */
  setTime(first: number, seconds: number, ns: number, isNegative: boolean): boolean {
    if (isNegative ? seconds > -MIN_SECONDS || (seconds === -MIN_SECONDS && ns > 0) : seconds > MAX_SECONDS)
      return false;
    // seconds × 10^9 has up to 63 bits: its halves are below 2^53 each.
    const top = Math.floor(seconds / TWO_16) * BILLION;
    const rest = (seconds % TWO_16) * BILLION + ns;
    const lows = (top % TWO_16) * TWO_16 + (rest % TWO_32);
    let low = (lows % TWO_32) | 0;
    let high = (Math.floor(top / TWO_16) + Math.floor(rest / TWO_32) + Math.floor(lows / TWO_32)) | 0;
    if (isNegative) {
      high = ~high + (low === 0 ? 1 : 0);
      low = -low | 0;
    }
    const words = this.#timeWords;
    for (let at = first; at < this.count; at++) {
      words[at * 2] = low;
      words[at * 2 + 1] = high;
    }
    return true;
  }

  /** Makes room for one more. */
  #make(): void {
    if (this.count < this.series.length) return;
    const room = this.series.length * 2;
    const { series, lines } = this;
    this.series = new Int32Array(room);
    this.series.set(series);
    this.lines = new Int32Array(room);
    this.lines.set(lines);
    const words = this.#words;
    this.#values = new ArrayBuffer(room * 8);
    this.#floats = new Float64Array(this.#values);
    this.#words = new Int32Array(this.#values);
    this.#words.set(words);
    const times = this.#timeWords;
    this.#times = new ArrayBuffer(room * 8);
    this.#timeWords = new Int32Array(this.#times);
    this.#timeWords.set(times);
  }
}
