/**
 * Headers of BIOPAC AcqKnowledge files, from version 2 on.
 * @see BIOPAC application note 156, "AcqKnowledge File Format"
 */
import { invalidField, unprocessableField } from '../../core/errors.ts';
import { HeaderFields } from './header-fields.ts';
import { oneLine, decodeText } from './header-text.ts';
import { readPart, type RecordingFiles } from './recording-files.ts';

/** Revisions at which something changed; earlier ones than the first are not read. */
const FIRST_REVISION = 30;
const LAST_REVISION = 1000;
const WITH_DIVIDERS = 38;
const WITH_COMPRESSION = 41;
const VERSION_3_9 = 45;
const VERSION_4 = 61;
const VERSION_4_1A = 80;
const VERSION_4_3 = 124;
const VERSION_4_4 = 128;

const MAX_CHANNELS = 1024;
const MAX_CHANNEL_BYTES = 65_536;
/** The kinds of numbers do not always stand where the lengths say; they are looked for up to here. */
const MAX_SCAN_BYTES = 4096;
const MAX_MARKERS = 1_000_000;
const MAX_MARKER_BYTES = 64 * 1024 * 1024;

export interface BiopacChannel {
  readonly number: number;
  readonly label: string;
  readonly unit: string;
  /** Every how many ticks it has a sample. */
  readonly divider: number;
  readonly samples: number;
  readonly scale: number;
  readonly offset: number;
  readonly dtype: 'int16' | 'float64';
}

export interface BiopacHeader {
  readonly revision: number;
  readonly isLittle: boolean;
  readonly sampleTimeMs: number;
  readonly channels: readonly BiopacChannel[];
  readonly dataByte: number;
}

export interface BiopacMarker {
  /** Tick. */
  readonly sample: number;
  readonly text: string;
  readonly style: string;
}

/** @throws `invalid-input` or `unprocessable` naming file and byte */
export async function readBiopacHeader(files: RecordingFiles, file: string, size: number): Promise<BiopacHeader> {
  const bytes = await readPart(files, file, 0, Math.min(size, 4096));
  const revisions = [true, false].map((isLittle) => new HeaderFields(bytes, file, 0, isLittle).int32(2));
  const isLittle = revisions[0] >= FIRST_REVISION && revisions[0] <= LAST_REVISION;
  const revision = isLittle ? revisions[0] : revisions[1];
  if (revision < FIRST_REVISION || revision > LAST_REVISION) {
    throw invalidField(file, 'does not begin as a BIOPAC file does (byte 2)');
  }
  const head = new HeaderFields(bytes, file, 0, isLittle);
  if (revision >= WITH_COMPRESSION && head.int32(revision >= VERSION_4 ? 972 : 1936) === 1) {
    throw unprocessableField(file, 'is compressed: save it uncompressed in AcqKnowledge', 'unsupported-recording');
  }
  const count = head.int16(10);
  if (count < 1 || count > MAX_CHANNELS) throw invalidField(file, `has ${count} channels (byte 10)`);
  const sampleTimeMs = head.float64(16);
  if (!Number.isFinite(sampleTimeMs) || sampleTimeMs <= 0) {
    throw invalidField(file, `has ${sampleTimeMs} ms between samples (byte 16)`);
  }
  const place = { files, file, size, isLittle, revision };
  const heads = await channelHeads(place, head.int32(6), count);
  const foreignByte = heads.byte + heads.length * count;
  const foreign = await fieldsAt(place, foreignByte, 12);
  const foreignBytes =
    revision <= VERSION_3_9 ? foreign.int16(0) : revision < VERSION_4_1A ? foreign.int32(8) + 8 : foreign.int16(0) + 8;
  const { dtypes, dataByte } = await numberKinds(place, foreignByte + foreignBytes, count);
  const channels = dtypes.map((dtype, c): BiopacChannel => {
    const at = c * heads.length;
    const { fields } = heads;
    const divider =
      revision >= VERSION_4 ? fields.int16(at + 152) : revision >= WITH_DIVIDERS ? fields.int16(at + 250) : 1;
    const samples = fields.int32(at + 88);
    if (samples < 0) throw invalidField(file, `has a channel of ${samples} samples (byte ${heads.byte + at + 88})`);
    return {
      number: fields.int16(at + 4),
      label: fields.text(at + 6, 40),
      unit: fields.text(at + 68, 20),
      divider: divider > 0 ? divider : 1,
      samples,
      scale: fields.float64(at + 92),
      offset: fields.float64(at + 100),
      dtype,
    };
  });
  return { revision, isLittle, sampleTimeMs, channels, dataByte };
}

interface BiopacFile {
  readonly files: RecordingFiles;
  readonly file: string;
  readonly size: number;
  readonly isLittle: boolean;
  readonly revision: number;
}

async function fieldsAt(
  { files, file, size, isLittle }: BiopacFile,
  byte: number,
  length: number,
): Promise<HeaderFields> {
  if (byte < 0 || byte > size) throw invalidField(file, `has a header at byte ${byte}, and ends at byte ${size}`);
  return new HeaderFields(await readPart(files, file, byte, Math.min(length, size - byte)), file, byte, isLittle);
}

/** Heads of the channels, which are of one length. From version 4.3 on there is something of 40 bytes before them. */
async function channelHeads(
  place: BiopacFile,
  graphBytes: number,
  count: number,
): Promise<{ byte: number; length: number; fields: HeaderFields }> {
  const least = place.revision >= VERSION_4 ? 154 : place.revision >= WITH_DIVIDERS ? 252 : 112;
  const padding = place.revision >= VERSION_4_3 ? [40, 0, 80, 120] : [0];
  for (const bytes of padding) {
    const byte = graphBytes + bytes;
    if (byte <= 0 || byte + 4 > place.size) continue;
    const length = (await fieldsAt(place, byte, 4)).int32(0);
    if (length < least || length > MAX_CHANNEL_BYTES || byte + length * count > place.size) continue;
    return { byte, length, fields: await fieldsAt(place, byte, length * count) };
  }
  throw invalidField(place.file, `has no heads of channels at byte ${graphBytes}`);
}

/** What kind of numbers each channel has: a size and a code. */
async function numberKinds(
  place: BiopacFile,
  byte: number,
  count: number,
): Promise<{ dtypes: ('int16' | 'float64')[]; dataByte: number }> {
  const fields = await fieldsAt(place, byte, MAX_SCAN_BYTES + 4 * count);
  const most = Math.min(MAX_SCAN_BYTES, place.size - byte - 4 * count);
  for (let from = 0; from <= most; from++) {
    const dtypes = Array.from({ length: count }, (_, c) => {
      const [bytes, code] = [fields.uint16(from + 4 * c), fields.uint16(from + 4 * c + 2)];
      if (bytes === 2 && code === 2) return 'int16';
      return bytes === 8 && (code === 0 || code === 1) ? 'float64' : null;
    });
    if (dtypes.every((dtype) => dtype !== null)) return { dtypes, dataByte: byte + from + 4 * count };
  }
  throw invalidField(place.file, `does not say what its numbers are (after byte ${byte})`);
}

/** Markers, which follow the samples. @param dataBytes bytes of all samples */
export async function biopacMarkers(
  files: RecordingFiles,
  file: string,
  size: number,
  { revision, isLittle, dataByte }: BiopacHeader,
  dataBytes: number,
): Promise<{ markers: BiopacMarker[]; isBroken: boolean }> {
  const byte = dataByte + dataBytes;
  const length = Math.min(size - byte, MAX_MARKER_BYTES);
  if (length < 8) return { markers: [], isBroken: false };
  const bytes = await readPart(files, file, byte, length);
  const fields = new HeaderFields(bytes, file, byte, isLittle);
  const isNew = revision >= VERSION_4;
  const extra = (revision >= VERSION_4_3 ? 8 : 0) + (revision >= VERSION_4_4 ? 8 : 0);
  const count = isNew ? fields.int32(4) - 1 : fields.int32(4);
  if (count < 0 || count > MAX_MARKERS) return { markers: [], isBroken: true };
  const markers: BiopacMarker[] = [];
  let at = isNew ? 25 + extra : 8;
  const headBytes = isNew ? 16 + extra : 12;
  for (let i = 0; i < count; i++) {
    if (at + headBytes > bytes.length) return { markers, isBroken: true };
    const textBytes = fields.int16(at + headBytes - 2) + (isNew ? 0 : 1);
    const sample = fields.int32(at);
    const end = at + headBytes + textBytes;
    if (textBytes < 0 || end > bytes.length || sample < 0) return { markers, isBroken: true };
    const text = decodeText(bytes.subarray(at + headBytes, end));
    markers.push({ sample, text: oneLine(text), style: isNew ? fields.text(at + 10, 4) : '' });
    at = end;
  }
  return { markers, isBroken: false };
}
