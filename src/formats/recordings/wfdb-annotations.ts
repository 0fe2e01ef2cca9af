/**
 * MIT-format annotation files (`.atr` and the like) of WFDB records.
 * @see https://physionet.org/physiotools/wag/annot-5.htm
 */
import { decodeText } from './header-text.ts';
import { labelOfCode, WFDB_CODES } from './wfdb-codes.ts';

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

/**
 * @param bytes of the whole file
 * @returns the marks in order of the file, up to the last whole one. If the file states ticks a second of its own, samples
 * count those. It also says whether the file ends in the middle of a mark.
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
    while (head >> 10 === WFDB_CODES.skip) {
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
      if (modifier < WFDB_CODES.num) break;
      at += 2;
      if (modifier === WFDB_CODES.num) num = (value << 24) >> 24;
      else if (modifier === WFDB_CODES.subtype) subtype = (value << 24) >> 24;
      else if (modifier === WFDB_CODES.channel) channel = value & 0xff;
      else if (modifier === WFDB_CODES.aux) {
        if (at + value > bytes.length) return ended(true);
        aux = decodeText(bytes.subarray(at, at + value)).replace(/\0+$/, '');
        at += value + (value % 2);
      }
    }
    const resolution = /^## time resolution: ([\d.]+)/.exec(aux);
    if (resolution && sample === 0) ticksPerSecond = resolution[1];
    else annotations.push({ sample, label: labelOfCode(code), subtype, channel, num, aux });
  }
  return ended(false);
}
