/**
 * Annotation files of WFDB records.
 * @see https://physionet.org/physiotools/wag/annot-5.htm
 */
import { nsOfRow, rowAtOrAfter } from '../../core/signal/rate.ts';
import type { Annotation } from '../../core/signal/series.ts';
import { codeOfLabel, WFDB_CODES } from '../recordings/wfdb-codes.ts';
import { wouldLose, type ExportedSeries } from './exported-series.ts';

const MOST_STEP = 1023;
const MOST_AUX_BYTES = 255;
/** What the file has of a payload, as the importer names it. */
const HELD = ['sample', 'subtype', 'channel', 'num', 'aux'];

interface Mark {
  readonly row: number;
  readonly code: number;
  readonly subtype: number;
  readonly channel: number;
  readonly num: number;
  readonly aux: string;
}

/**
 * @param startNs of the record
 * @returns no bytes if there are no annotations
 * @throws would-lose for one that lies between samples, or before the first
 */
export function annotationFile(
  sources: readonly ExportedSeries[],
  startNs: bigint,
): { bytes: Buffer; notes: string[] } {
  const found = sources.flatMap((source) => source.annotations.map((annotation) => ({ source, annotation })));
  if (found.length === 0) return { bytes: Buffer.alloc(0), notes: [] };
  const marks = found.map(({ source, annotation }) => markOf(source, annotation, startNs));
  marks.sort((a, b) => a.row - b.row);
  const annotations = found.map(({ annotation }) => annotation);
  return { bytes: encode(marks), notes: notesOf(annotations) };
}

function notesOf(annotations: readonly Annotation[]): string[] {
  const spans = annotations.filter((each) => each.endNs > each.startNs).length;
  const texts = annotations.filter(({ label }) => codeOfLabel(label) === undefined).length;
  const more = annotations.filter(({ payload }) => Object.keys(payload).some((key) => !HELD.includes(key))).length;
  return [
    ...(spans > 0 ? [`the ends of ${spans} annotations are not in a WFDB record`] : []),
    ...(texts > 0 ? [`${texts} annotations have labels that are no codes of WFDB: they are notes`] : []),
    ...(more > 0 ? [`${more} annotations have a payload that a WFDB record holds in part`] : []),
  ];
}

function markOf({ series, rate }: ExportedSeries, { startNs: at, label, payload }: Annotation, startNs: bigint): Mark {
  const row = Number(rowAtOrAfter(rate, at - startNs));
  if (at < startNs || nsOfRow(rate, row) !== at - startNs || row > 0x7fff_ffff) {
    throw wouldLose(
      series.name,
      `has the annotation ${JSON.stringify(label)} at no sample's time; WFDB's are at samples`,
    );
  }
  const number = (key: string, least: number, most: number): number => {
    const value = payload[key];
    return typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most ? value : 0;
  };
  const code = codeOfLabel(label);
  const text = typeof payload.aux === 'string' ? payload.aux : '';
  const aux = code === undefined ? label : text;
  if (Buffer.byteLength(aux) > MOST_AUX_BYTES) {
    throw wouldLose(series.name, `has an annotation with a text of more than ${MOST_AUX_BYTES} bytes`);
  }
  return {
    row,
    code: code ?? WFDB_CODES.note,
    subtype: number('subtype', -128, 127),
    channel: number('channel', 0, 255),
    num: number('num', -128, 127),
    aux,
  };
}

function encode(marks: readonly Mark[]): Buffer {
  const parts: Buffer[] = [];
  const put = (...words: number[]): void => words.forEach((word) => parts.push(Buffer.from([word & 0xff, word >> 8])));
  const modify = (code: number, value: number): void => put((code << 10) | (value & 0x3ff));
  let [row, num, channel] = [0, 0, 0];
  for (const mark of marks) {
    const step = mark.row - row;
    row = mark.row;
    if (step > MOST_STEP) put(WFDB_CODES.skip << 10, step >>> 16, step & 0xffff);
    modify(mark.code, step > MOST_STEP ? 0 : step);
    if (mark.subtype !== 0) modify(WFDB_CODES.subtype, mark.subtype & 0xff);
    // Channel and number hold until the next one.
    if (mark.channel !== channel) modify(WFDB_CODES.channel, (channel = mark.channel));
    if (mark.num !== num) modify(WFDB_CODES.num, (num = mark.num) & 0xff);
    if (mark.aux === '') continue;
    const text = Buffer.from(mark.aux);
    modify(WFDB_CODES.aux, text.length);
    parts.push(text, Buffer.alloc(text.length % 2));
  }
  put(0);
  return Buffer.concat(parts);
}
