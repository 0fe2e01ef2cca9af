/**
 * MIT-format annotation files (`.atr` and the like) of WFDB records.
 * @see https://physionet.org/physiotools/wag/annot-5.htm
 */
import { invalidField } from '../../core/errors.ts';
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
 * @param name of the file, for errors
 * @returns the marks in order of the file, and its own ticks a second if it states them (then samples count those)
 * @throws `invalid-input` on the file's name if it ends in mid-annotation
 */
export function readWfdbAnnotations(
  bytes: Uint8Array,
  name: string,
): { annotations: WfdbAnnotation[]; ticksPerSecond: string | null } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const annotations: WfdbAnnotation[] = [];
  let ticksPerSecond: string | null = null;
  let at = 0;
  let sample = 0;
  // NUM and CHN hold until the next one; SUB and AUX belong to one annotation. All of them follow the annotation they modify.
  let num = 0;
  let channel = 0;

  function word(): number {
    if (at + 2 > bytes.length) throw invalidField(name, 'ends in the middle of an annotation');
    at += 2;
    return view.getUint16(at - 2, true);
  }

  while (at < bytes.length) {
    let head = word();
    if (head === 0) break;
    // A leap too long for ten bits: the high half first, each half little-endian.
    while (head >> 10 === WFDB_CODES.skip) {
      const high = word();
      sample += (high << 16) | word() | 0;
      head = word();
    }
    const code = head >> 10;
    sample += head & 0x3ff;
    let subtype = 0;
    let aux = '';
    for (;;) {
      const next = at + 2 <= bytes.length ? view.getUint16(at, true) : 0;
      const modifier = next >> 10;
      const value = next & 0x3ff;
      if (modifier < WFDB_CODES.num) break;
      at += 2;
      if (modifier === WFDB_CODES.num) num = (value << 24) >> 24;
      else if (modifier === WFDB_CODES.subtype) subtype = (value << 24) >> 24;
      else if (modifier === WFDB_CODES.channel) channel = value & 0xff;
      else if (modifier === WFDB_CODES.aux) {
        if (at + value > bytes.length) throw invalidField(name, 'ends in the middle of an annotation');
        aux = new TextDecoder().decode(bytes.subarray(at, at + value)).replace(/\0+$/, '');
        at += value + (value % 2);
      }
    }
    const resolution = /^## time resolution: ([\d.]+)/.exec(aux);
    if (resolution && sample === 0) ticksPerSecond = resolution[1];
    else annotations.push({ sample, label: labelOfCode(code), subtype, channel, num, aux });
  }
  return { annotations, ticksPerSecond };
}
