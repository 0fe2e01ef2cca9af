/** Wells of a plate, as readers of plates name them: A1 to H12, or to P24. */

export interface Well {
  /** Without zeros: A1. */
  readonly name: string;
  readonly row: string;
  readonly column: number;
}

const WELL = /^([A-P])(0?[1-9]|1\d|2[0-4])$/;
/** Numbers of reads, as Tecan counts them. */
const CYCLE = /^(?:cycle|zyklus)\b/i;
const TEMPERATURE = /^(?:T°|T\s*°|Temp(?:erature|\.)?(?:$|[\s:([])|T\[|T \[)/i;
/** Fewer columns in a row could be anything: EEG has C3 and C4. */
const LEAST_WELLS = 3;

/** The well of a label such as A1, A01, or A1:600. */
export function wellOf(label: string): Well | undefined {
  const match = WELL.exec(label.trim());
  return match ? { name: `${match[1]}${Number(match[2])}`, row: match[1], column: Number(match[2]) } : undefined;
}

export function temperatureOf(label: string): boolean {
  return TEMPERATURE.test(label.trim());
}

/**
 * True where labels are wells one after the other, by rows or by columns, and temperatures. Labels of other things look
 * like wells, too, but do not follow each other.
 */
export function looksLikePlate(labels: readonly string[]): boolean {
  const wells = labels.flatMap((label) => wellOf(label) ?? []);
  const temperatures = labels.filter((label) => temperatureOf(label)).length;
  const cycles = labels.filter((label) => CYCLE.test(label)).length;
  if (wells.length < LEAST_WELLS || wells.length + temperatures + cycles !== labels.length) return false;
  const follows = (a: Well, b: Well): boolean =>
    (a.row === b.row && b.column === a.column + 1) ||
    (b.column === 1 && b.row.charCodeAt(0) === a.row.charCodeAt(0) + 1) ||
    (a.column === b.column && b.row.charCodeAt(0) === a.row.charCodeAt(0) + 1) ||
    (b.row === 'A' && b.column === a.column + 1);
  const pairs = wells.slice(1).filter((well, i) => follows(wells[i], well)).length;
  return pairs >= (wells.length - 1) * (temperatures > 0 ? 0.4 : 0.8);
}
