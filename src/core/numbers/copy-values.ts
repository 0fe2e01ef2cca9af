/**
 * Copies values bit by bit. If they were copied as numbers, unusual NaNs would become usual ones: on some machines all,
 * on nearly all the signalling ones.
 */
import type { SampleArray } from './dtype.ts';

/** Evenly spaced places in an array. */
export interface Places {
  readonly at: number;
  readonly step: number;
}

/** @param from of the type of `to` */
export function copyValues(to: SampleArray, into: Places, from: SampleArray, out: Places, count: number): void {
  const [target, source] = [bitsOf(to), bitsOf(from)];
  const words = target.length / to.length || 1;
  const [toStep, fromStep] = [into.step * words, out.step * words];
  for (let word = 0; word < words; word++) {
    let write = into.at * words + word;
    let read = out.at * words + word;
    for (let i = 0; i < count; i++, write += toStep, read += fromStep) target[write] = source[read];
  }
}

/** Floats as unsigned integers of one word, or of two. Integers as they are. */
export function bitsOf(values: SampleArray): SampleArray {
  if (values instanceof Float32Array) return new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (values instanceof Float64Array) return new Uint32Array(values.buffer, values.byteOffset, values.length * 2);
  return values;
}
