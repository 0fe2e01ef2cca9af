/**
 * MIT-format annotation files (`.atr` and the like) of WFDB records.
 * @see https://physionet.org/physiotools/wag/annot-5.htm
 */
import { decodeText } from './header-text.ts';

export interface WfdbAnnotation {
  /** Sample of the record (or tick of the file's own time resolution) the mark lies at. */
  readonly sample: number;
  /** Mnemonic of the annotation code, such as `N` for a normal beat. */
  readonly label: string;
  readonly subtype: number;
  readonly channel: number;
  readonly num: number;
  readonly aux: string;
}

/** Mnemonics by code, from WFDB's ecgcodes.h. */
const MNEMONICS: Readonly<Record<number, string>> = Object.fromEntries(
  // prettier-ignore
  [
    [1, 'N'], [2, 'L'], [3, 'R'], [4, 'a'], [5, 'V'], [6, 'F'], [7, 'J'], [8, 'A'], [9, 'S'], [10, 'E'], [11, 'j'], [12, '/'],
    [13, 'Q'], [14, '~'], [16, '|'], [18, 's'], [19, 'T'], [20, '*'], [21, 'D'], [22, '"'], [23, '='], [24, 'p'], [25, 'B'],
    [26, '^'], [27, 't'], [28, '+'], [29, 'u'], [30, '?'], [31, '!'], [32, '['], [33, ']'], [34, 'e'], [35, 'n'], [36, '@'],
    [37, 'x'], [38, 'f'], [39, '('], [40, ')'], [41, 'r'],
  ],
);

const SKIP = 59;
const NUM = 60;
const SUB = 61;
const CHN = 62;
const AUX = 63;

/**
 * @param bytes of the whole file
 * @returns the marks in order of the file, up to the last whole one; its own ticks a second if it states them (then
 * samples count those); whether it ends in the middle of a mark
 */
export function readWfdbAnnotations(bytes: Uint8Array): {
  annotations: WfdbAnnotation[];
  ticksPerSecond: string | null;
  isCutOff: boolean;
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const annotations: WfdbAnnotation[] = [];
  let ticksPerSecond: string | null = null;
  let at = 0;
  let sample = 0;
  // NUM and CHN hold until the next one; SUB and AUX belong to one annotation. All of them follow the annotation they modify.
  let num = 0;
  let channel = 0;

  const word = (place: number): number => (place + 2 <= bytes.length ? view.getUint16(place, true) : 0);
  const ended = (isCutOff: boolean) => ({ annotations, ticksPerSecond, isCutOff });

  while (at < bytes.length) {
    if (at + 2 > bytes.length) return ended(true);
    let head = word(at);
    at += 2;
    if (head === 0) break;
    // A leap too long for ten bits: the high half first, each half little-endian.
    while (head >> 10 === SKIP) {
      if (at + 6 > bytes.length) return ended(true);
      sample += (word(at) << 16) | word(at + 2) | 0;
      head = word(at + 4);
      at += 6;
    }
    const code = head >> 10;
    sample += head & 0x3ff;
    let subtype = 0;
    let aux = '';
    for (;;) {
      const next = word(at);
      const modifier = next >> 10;
      const value = next & 0x3ff;
      if (modifier < NUM) break;
      at += 2;
      if (modifier === NUM) num = (value << 24) >> 24;
      else if (modifier === SUB) subtype = (value << 24) >> 24;
      else if (modifier === CHN) channel = value & 0xff;
      else if (modifier === AUX) {
        if (at + value > bytes.length) return ended(true);
        aux = decodeText(bytes.subarray(at, at + value)).replace(/\0+$/, '');
        at += value + (value % 2);
      }
    }
    const resolution = /^## time resolution: ([\d.]+)/.exec(aux);
    if (resolution && sample === 0) ticksPerSecond = resolution[1];
    else annotations.push({ sample, label: MNEMONICS[code] ?? `code ${code}`, subtype, channel, num, aux });
  }
  return ended(false);
}
