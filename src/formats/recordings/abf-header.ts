/**
 * Headers of Axon Binary Files, versions 1 and 2.
 * @see Axon Binary File Format (ABF) user guides of Molecular Devices, for versions 1.x and 2.x
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { shortestFloat32 } from './header-text.ts';
import { HeaderFields } from './header-fields.ts';
import { localTimeNs } from './local-start.ts';
import { readPart, type RecordingFiles } from './recording-files.ts';

/** Sections begin at multiples of this. */
const BLOCK_BYTES = 512;
const HEAD_BYTES = 6144;
const MAX_CHANNELS = 1024;
/** Bytes of a synch array or of tags. */
const MAX_SECTION_BYTES = 256 * 1024 * 1024;
const TAG_BYTES = 64;
const SYNCH_BYTES = 8;

export interface AbfChannel {
  readonly label: string;
  readonly unit: string;
  /** Physical = raw × scale + offset; null of files that hold physical values. */
  readonly scale: number | null;
  readonly offset: number;
  readonly adc: number;
}

export interface AbfTag {
  /** In units of {@link AbfHeader.tickUs}. */
  readonly ticks: number;
  readonly comment: string;
  readonly type: number;
}

/** A sweep, as the synch array says it. */
export interface AbfSweep {
  /** In units of {@link AbfHeader.tickUs}. */
  readonly ticks: number;
  /** Numbers of all channels. */
  readonly length: number;
}

export interface AbfHeader {
  readonly version: string;
  readonly mode: number;
  readonly isFloat: boolean;
  readonly dataByte: number;
  /** Numbers of all channels that the header promises. */
  readonly points: number;
  /** Microseconds between two samples of a channel, as a decimal number. */
  readonly intervalUs: number;
  readonly tickUs: number;
  readonly localStartNs: bigint | null;
  readonly startDate: number;
  readonly startTimeMs: number;
  readonly channels: readonly AbfChannel[];
  readonly sweeps: readonly AbfSweep[];
  readonly tags: readonly AbfTag[];
  readonly episodes: number;
}

/** The operation mode of a recording without sweeps. */
export const GAP_FREE = 3;

/** A list of entries of one size. */
interface AbfSection {
  readonly byte: number;
  readonly entryBytes: number;
  readonly entries: number;
}

export async function readAbfHeader(files: RecordingFiles, file: string, size: number): Promise<AbfHeader> {
  const bytes = await readPart(files, file, 0, Math.min(size, HEAD_BYTES));
  const head = new HeaderFields(bytes, file);
  const magic = Buffer.from(bytes.subarray(0, 4)).toString('latin1');
  if (magic !== 'ABF ' && magic !== 'ABF2') throw invalidField(file, 'does not begin as an ABF file does (byte 0)');
  const header = magic === 'ABF ' ? await version1(files, file, size, head) : await version2(files, file, size, head);
  if (!(header.intervalUs > 0) || !Number.isFinite(header.intervalUs)) {
    throw invalidField(file, `has a sampling interval of ${header.intervalUs} µs`);
  }
  if (!(header.tickUs > 0) || !Number.isFinite(header.tickUs)) {
    throw invalidField(file, `has a unit of time of ${header.tickUs} µs`);
  }
  return header;
}

async function version1(files: RecordingFiles, file: string, size: number, head: HeaderFields): Promise<AbfHeader> {
  const version = head.float32(4);
  const count = channelCount(head.int16(120), 16, file, 120);
  const dataBlock = head.int32(40);
  const isFloat = floatOf(head.int16(100), file, 100);
  // Older headers end before these fields.
  const hasTelegraphs = version >= 1.65 && dataBlock * BLOCK_BYTES >= HEAD_BYTES;
  const channels = Array.from({ length: count }, (_, i): AbfChannel => {
    const adc = head.int16(410 + 2 * i);
    if (adc < 0 || adc > 15)
      throw invalidField(file, `has the channel ${adc} in its sampling sequence (byte ${410 + 2 * i})`);
    const telegraph = hasTelegraphs && head.int16(4512 + 2 * adc) === 1 ? head.float32(4576 + 4 * adc) : 1;
    const gains = [922, 1050, 730].map((at) => head.float32(at + 4 * adc));
    return {
      label: head.text(442 + 10 * adc, 10),
      unit: head.text(602 + 8 * adc, 8),
      scale: isFloat ? null : scaleOf(head.float32(244), gains, head.int32(252), telegraph),
      offset: head.float32(986 + 4 * adc) - head.float32(1114 + 4 * adc),
      adc,
    };
  });
  const interval = shortestFloat32(head.float32(122));
  const synchUnit = shortestFloat32(head.float32(130));
  const date = head.int32(20);
  const timeMs = head.int32(24) * 1000 + head.int16(366);
  const mode = head.int16(8);
  return {
    version: version.toFixed(2),
    mode,
    isFloat,
    dataByte: dataBlock * BLOCK_BYTES + head.int16(14) * (isFloat ? 4 : 2),
    points: head.int32(10),
    intervalUs: product(interval, count),
    // Without a unit, ticks are numbers of all channels.
    tickUs: synchUnit === 0 ? interval : synchUnit,
    localStartNs: startOf(
      date < 1_000_000 && date > 0 ? date + (date < 800_000 ? 20_000_000 : 19_000_000) : date,
      timeMs,
    ),
    startDate: date,
    startTimeMs: timeMs,
    channels,
    sweeps: await sweepsOf(files, file, size, section(head.int32(92), SYNCH_BYTES, head.int32(96))),
    tags: await tagsOf(files, file, size, section(head.int32(44), TAG_BYTES, head.int32(48))),
    episodes: head.int32(16),
  };
}

async function version2(files: RecordingFiles, file: string, size: number, head: HeaderFields): Promise<AbfHeader> {
  const sectionAt = (at: number): AbfSection => section(head.uint32(at), head.uint32(at + 4), head.int64(at + 8));
  const [protocolAt, adcAt, stringsAt, dataAt, tagAt, synchAt] = [76, 92, 220, 236, 252, 316].map(sectionAt);
  const count = channelCount(adcAt.entries, MAX_CHANNELS, file, 100);
  const protocol = await fieldsOf(files, file, size, { ...protocolAt, entries: 1 });
  const adcs = await fieldsOf(files, file, size, adcAt);
  const strings = await stringsOf(files, file, size, stringsAt);
  const isFloat = floatOf(head.uint16(30), file, 30);
  if (protocol.uint16(6) % 256 !== 0) throw unprocessableField(file, 'is compressed, which is not read');
  const channels = Array.from({ length: count }, (_, i): AbfChannel => {
    const at = i * adcAt.entryBytes;
    const telegraph = adcs.int16(at + 2) === 0 ? 1 : adcs.float32(at + 6);
    const gains = [40, 48, 28].map((field) => adcs.float32(at + field));
    return {
      label: strings[adcs.int32(at + 74) - 1] ?? '',
      unit: strings[adcs.int32(at + 78) - 1] ?? '',
      scale: isFloat ? null : scaleOf(protocol.float32(110), gains, protocol.int32(118), telegraph),
      offset: adcs.float32(at + 44) - adcs.float32(at + 52),
      adc: adcs.int16(at),
    };
  });
  const interval = shortestFloat32(protocol.float32(2));
  const synchUnit = shortestFloat32(protocol.float32(14));
  const version = [7, 6, 5, 4].map((at) => (head.uint16(at - (at % 2)) >> (8 * (at % 2))) & 0xff).join('.');
  return {
    version,
    mode: protocol.int16(0),
    isFloat,
    dataByte: dataAt.byte,
    points: dataAt.entries,
    intervalUs: interval,
    tickUs: synchUnit === 0 ? interval / count : synchUnit,
    localStartNs: startOf(head.uint32(16), head.uint32(20)),
    startDate: head.uint32(16),
    startTimeMs: head.uint32(20),
    channels,
    sweeps: await sweepsOf(files, file, size, synchAt),
    tags: await tagsOf(files, file, size, tagAt),
    episodes: head.uint32(12),
  };
}

function section(block: number, entryBytes: number, entries: number): AbfSection {
  return { byte: block * BLOCK_BYTES, entryBytes, entries };
}

/** A product of short decimal numbers that is one itself. */
function product(value: number, factor: number): number {
  return Number((value * factor).toPrecision(12));
}

function channelCount(count: number, most: number, file: string, byte: number): number {
  if (count < 1 || count > most) throw invalidField(file, `has ${count} channels (byte ${byte})`);
  return count;
}

function floatOf(format: number, file: string, byte: number): boolean {
  if (format !== 0 && format !== 1) throw invalidField(file, `has the data format ${format} (byte ${byte})`);
  return format === 1;
}

/** Factors in this order, as Neo has them, so that the last bit is the same. */
function scaleOf(range: number, gains: readonly number[], resolution: number, telegraph: number): number {
  const scale = gains.reduce((value, gain) => value / gain, range) / resolution;
  return telegraph === 1 ? scale : scale / telegraph;
}

/** @param date as yyyymmdd */
function startOf(date: number, timeMs: number): bigint | null {
  const [year, month, day] = [Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100];
  const ns = year > 0 ? localTimeNs(year, month, day) : undefined;
  return ns === undefined ? null : ns + BigInt(timeMs) * 1_000_000n;
}

async function fieldsOf(
  files: RecordingFiles,
  file: string,
  size: number,
  { byte, entryBytes, entries }: AbfSection,
): Promise<HeaderFields> {
  const bytes = entryBytes * entries;
  if (!(bytes >= 0) || bytes > MAX_SECTION_BYTES) throw invalidField(file, `has a section of ${bytes} bytes`);
  if (byte < 0 || byte > size) throw invalidField(file, `has a section at byte ${byte}, and ends at byte ${size}`);
  return new HeaderFields(await readPart(files, file, byte, Math.min(bytes, size - byte)), file, byte);
}

async function sweepsOf(files: RecordingFiles, file: string, size: number, at: AbfSection): Promise<AbfSweep[]> {
  if (at.entries <= 0) return [];
  const fields = await fieldsOf(files, file, size, { ...at, entryBytes: SYNCH_BYTES });
  return Array.from({ length: at.entries }, (_, i) => {
    const [ticks, length] = [fields.int32(i * SYNCH_BYTES), fields.int32(i * SYNCH_BYTES + 4)];
    if (length < 0)
      throw invalidField(file, `has a sweep of ${length} samples (byte ${at.byte + i * SYNCH_BYTES + 4})`);
    return { ticks, length };
  });
}

async function tagsOf(files: RecordingFiles, file: string, size: number, at: AbfSection): Promise<AbfTag[]> {
  if (at.entries <= 0) return [];
  const entryBytes = Math.max(at.entryBytes, TAG_BYTES);
  const fields = await fieldsOf(files, file, size, { ...at, entryBytes });
  return Array.from({ length: at.entries }, (_, i) => ({
    ticks: fields.int32(i * entryBytes),
    comment: fields.text(i * entryBytes + 4, 56),
    type: fields.int16(i * entryBytes + 60),
  }));
}

/** Names and units, which others count from 1. They stand behind a head of 44 bytes. */
async function stringsOf(files: RecordingFiles, file: string, size: number, at: AbfSection): Promise<string[]> {
  if (at.byte <= 0 || at.byte > size) return [];
  const bytes = await readPart(files, file, at.byte, Math.min(at.entryBytes, size - at.byte, HEAD_BYTES * 100));
  const text = Buffer.from(bytes).toString('latin1');
  return text.slice(text.startsWith('SSCH') ? 44 : 0).split('\0');
}
