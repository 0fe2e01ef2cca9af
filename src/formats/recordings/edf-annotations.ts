/**
 * Time-stamped annotation lists (TALs) of EDF+ and BDF+.
 * @see https://www.edfplus.info/specs/edfplus.html#tal
 */
import { decodeText } from './header-text.ts';

export interface EdfAnnotation {
  readonly onsetNs: bigint;
  readonly durationNs: bigint | null;
  readonly text: string;
  /** As the file writes them, in seconds. */
  readonly onset: string;
  readonly duration: string | null;
}

export interface RecordAnnotations {
  /** When the record begins, if its first list says so; from the start of the file. */
  readonly onsetNs: bigint | null;
  readonly annotations: readonly EdfAnnotation[];
  /** Lists that are none. */
  readonly unreadable: number;
}

const ENDS_DURATION = 0x14;
const BEGINS_DURATION = 0x15;

/** @param bytes of one annotation signal in one record */
export function readTals(bytes: Uint8Array): RecordAnnotations {
  const annotations: EdfAnnotation[] = [];
  let recordOnsetNs: bigint | null = null;
  let unreadable = 0;
  let isFirst = true;
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(0, at);
    const list = bytes.subarray(at, end < 0 ? bytes.length : end);
    at += list.length + 1;
    if (list.length === 0) continue;
    const wasFirst = isFirst;
    isFirst = false;
    const stamp = list.indexOf(ENDS_DURATION);
    const mid = list.subarray(0, Math.max(stamp, 0)).indexOf(BEGINS_DURATION);
    const onset = Buffer.from(list.subarray(0, mid < 0 ? Math.max(stamp, 0) : mid)).toString('latin1');
    const duration = mid < 0 ? null : Buffer.from(list.subarray(mid + 1, stamp)).toString('latin1');
    const onsetNs = /^[+-]/.test(onset) ? secondsToNs(onset) : undefined;
    const durationNs = duration === null || duration === '' ? null : secondsToNs(duration);
    if (stamp < 0 || onsetNs === undefined || durationNs === undefined || (durationNs !== null && durationNs < 0n)) {
      unreadable++;
      continue;
    }
    const texts = textsOf(list.subarray(stamp + 1));
    if (wasFirst && texts[0] === '') recordOnsetNs = onsetNs;
    for (const text of texts) {
      if (text !== '') annotations.push({ onsetNs, durationNs, text, onset, duration: duration || null });
    }
  }
  return { onsetNs: recordOnsetNs, annotations, unreadable };
}

function textsOf(bytes: Uint8Array): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(ENDS_DURATION, at);
    const text = bytes.subarray(at, end < 0 ? bytes.length : end);
    texts.push(decodeText(text));
    at += text.length + 1;
  }
  return texts;
}

/** Decimal seconds; what is below a nanosecond is cut off. */
function secondsToNs(text: string): bigint | undefined {
  const match = /^([+-]?)(\d{1,12})(?:\.(\d{0,30}))?$/.exec(text);
  if (!match) return undefined;
  const [, sign, whole, fraction = ''] = match;
  const ns = BigInt(whole) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  return sign === '-' ? -ns : ns;
}
