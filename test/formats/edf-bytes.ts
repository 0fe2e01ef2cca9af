/** EDF and BDF files by hand, field by field as the specification lists them. */
import { padded } from './recording-bytes.ts';

export interface EdfFile {
  /** By record, by signal: samples. All records have the same number of them. */
  readonly records: readonly (readonly (readonly number[])[])[];
  /** By record: lists of annotations; a signal of their own, the last. */
  readonly tals?: readonly (readonly Uint8Array[])[];
  readonly isBdf?: boolean;
  readonly reserved?: string;
  readonly recording?: string;
  readonly date?: string;
  readonly duration?: string;
  /** Number of records as the header has it. */
  readonly count?: string;
  /** Digital minimum and maximum, physical minimum and maximum. */
  readonly ranges?: readonly string[];
}

const LABELS = ['Fp1', 'Fp2', 'Resp', 'Temp'];
const TAL_SAMPLES = 60;

/** A list of annotations: onset, duration, texts. */
export function tal(onset: string, duration: string, ...texts: string[]): Buffer {
  return Buffer.from(
    `${onset}${duration === '' ? '' : `\x15${duration}`}\x14${texts.map((text) => `${text}\x14`).join('')}\0`,
  );
}

export function edfFile(file: EdfFile): Buffer {
  const { records, tals, isBdf = false, reserved = '', recording = 'Startdate X X X X', date = '01.05.26' } = file;
  const { duration = '1', count = String(records.length) } = file;
  const most = isBdf ? ['-8388608', '8388607', '-262144', '262143'] : ['-32768', '32767', '-3276.8', '3276.7'];
  const ranges = file.ranges ?? most;
  const signals = records[0].map((samples, i) => ({ label: LABELS[i], samples: samples.length, unit: 'uV', ranges }));
  if (tals) {
    const label = isBdf ? 'BDF Annotations' : 'EDF Annotations';
    signals.push({ label, samples: TAL_SAMPLES, unit: '', ranges: isBdf ? most : ['-32768', '32767', '-1', '1'] });
  }
  const head = [
    isBdf ? Buffer.from('\xffBIOSEMI', 'latin1') : padded('0', 8),
    padded('X X X X', 80),
    padded(recording, 80),
    padded(date, 8),
    padded('09.30.10', 8),
    padded(String(256 * (signals.length + 1)), 8),
    padded(isBdf && reserved === '' ? '24BIT' : reserved, 44),
    padded(count, 8),
    padded(duration, 8),
    padded(String(signals.length), 4),
    ...signals.map(({ label }) => padded(label, 16)),
    ...signals.map(() => padded('AgCl', 80)),
    ...signals.map(({ unit }) => padded(unit, 8)),
    ...signals.map(({ ranges: [, , min] }) => padded(min, 8)),
    ...signals.map(({ ranges: [, , , max] }) => padded(max, 8)),
    ...signals.map(({ ranges: [min] }) => padded(min, 8)),
    ...signals.map(({ ranges: [, max] }) => padded(max, 8)),
    ...signals.map(() => padded('HP:0.1Hz', 80)),
    ...signals.map(({ samples }) => padded(String(samples), 8)),
    ...signals.map(() => padded('', 32)),
  ];
  const data = records.flatMap((record, r) => [
    ...record.map((samples) => numbers(samples, isBdf)),
    ...(tals ? [Buffer.concat([...tals[r], Buffer.alloc(400)]).subarray(0, TAL_SAMPLES * (isBdf ? 3 : 2))] : []),
  ]);
  return Buffer.concat([...head, ...data]);
}

function numbers(samples: readonly number[], isBdf: boolean): Buffer {
  const bytes = Buffer.alloc(samples.length * (isBdf ? 3 : 2));
  samples.forEach((sample, i) => {
    if (isBdf) bytes.writeIntLE(sample, i * 3, 3);
    else bytes.writeInt16LE(sample, i * 2);
  });
  return bytes;
}
