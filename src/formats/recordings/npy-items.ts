/**
 * Small `.npy` columns of numbers or texts, such as events.
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import { invalidField } from '../../core/errors.ts';
import { viewAs, type Dtype } from '../../core/numbers/dtype.ts';
import { decodeText } from './header-text.ts';
import { neededSize, readPart, type RecordingFiles } from './recording-files.ts';

/** 64-bit integers are bigints. */
export type NpyItem = number | bigint | string;

const NUMBERS: Readonly<Record<string, Dtype>> = {
  i1: 'int8',
  i2: 'int16',
  i4: 'int32',
  i8: 'int64',
  u1: 'uint8',
  u2: 'uint16',
  u4: 'uint32',
  u8: 'uint64',
  f4: 'float32',
  f8: 'float64',
  b1: 'uint8',
};
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_HEADER_BYTES = 65_536;

/**
 * Items in order, up to the last whole one; of several columns, row after row.
 * @param most no more than these
 * @throws `invalid-input` naming the file
 */
export async function readNpyItems(files: RecordingFiles, name: string, most = Infinity): Promise<NpyItem[]> {
  const size = await neededSize(files, name, name);
  const head = await readPart(files, name, 0, Math.min(size, MAX_HEADER_BYTES));
  const isLong = head[6] !== 1;
  const from = isLong ? 12 : 10;
  if (head.length < from || Buffer.from(head.subarray(1, 6)).toString('latin1') !== 'NUMPY') {
    throw invalidField(name, 'does not begin as an .npy file does (byte 0)');
  }
  const view = new DataView(head.buffer, head.byteOffset);
  const dataByte = from + (isLong ? view.getUint32(8, true) : view.getUint16(8, true));
  const text = Buffer.from(head.subarray(from, Math.min(dataByte, head.length))).toString('latin1');
  const type = /'descr': *'([<>|=]?)([a-zA-Z])(\d{1,6})'/.exec(text);
  if (!type || dataByte > head.length) throw invalidField(name, 'has an .npy header that is not read');
  const [, order, kind, digits] = type;
  if (order === '>') throw invalidField(name, 'has numbers of the other byte order');
  const itemBytes = Number(digits) * (kind === 'U' ? 4 : 1);
  const dtype = NUMBERS[`${kind}${digits}`] as Dtype | undefined;
  if (itemBytes === 0) return [];
  if (!dtype && kind !== 'S' && kind !== 'U') throw invalidField(name, `has items of the type ${kind}${digits}`);
  const shape = /'shape': *\(([^)]*)\)/.exec(text)?.[1] ?? '';
  const promised = shape
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number)
    .reduce((a, b) => a * b, 1);
  const count = Math.min(promised, most, Math.floor((size - dataByte) / itemBytes));
  if (!Number.isInteger(count) || count * itemBytes > MAX_BYTES) {
    throw invalidField(name, `has ${promised} items; at most ${MAX_BYTES} bytes of them are read`);
  }
  const bytes = await readPart(files, name, dataByte, count * itemBytes);
  if (dtype) return [...viewAs(dtype, bytes)];
  return Array.from({ length: Math.floor(bytes.length / itemBytes) }, (_, i) => {
    const item = bytes.subarray(i * itemBytes, (i + 1) * itemBytes);
    return (kind === 'U' ? utf32(item) : decodeText(item)).replace(/\0+$/, '');
  });
}

function utf32(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const code = view.getUint32(at, true);
    text += code <= 0x10ffff ? String.fromCodePoint(code) : '\uFFFD';
  }
  return text;
}
