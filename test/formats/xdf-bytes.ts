/** XDF files by hand, chunk by chunk as the specification of version 1.0 lists them. */
export interface XdfStreamBytes {
  readonly id: number;
  readonly name: string;
  readonly format: 'float32' | 'int16' | 'string' | 'double64' | 'int64';
  readonly hz: number;
  readonly channels: readonly string[];
}

export type XdfSample = readonly [stamp: number | null, values: readonly (number | string)[]];

const BOUNDARY = Buffer.from('43a546dccbf5410fb30ed5467383cbe4', 'hex');

export function xdfFile(...chunks: readonly Buffer[]): Buffer {
  const head = chunk(
    1,
    Buffer.from(
      '<?xml version="1.0"?><info><version>1.0</version><datetime>2026-05-01T09:30:10+0200</datetime></info>',
    ),
  );
  return Buffer.concat([Buffer.from('XDF:'), head, ...chunks]);
}

/** @param lengthBytes 1, 4 or 8 */
export function chunk(tag: number, content: Buffer, lengthBytes = 4): Buffer {
  const head = Buffer.alloc(1 + lengthBytes + 2);
  head[0] = lengthBytes;
  if (lengthBytes === 1) head[1] = content.length + 2;
  else head.writeUInt32LE(content.length + 2, 1);
  head.writeUInt16LE(tag, 1 + lengthBytes);
  return Buffer.concat([head, content]);
}

export function boundary(): Buffer {
  return chunk(5, BOUNDARY, 1);
}

export function streamHeader({ id, name, format, hz, channels }: XdfStreamBytes): Buffer {
  const labels = channels.map((label) => `<channel><label>${label}</label><unit>microvolts</unit></channel>`).join('');
  return chunk(
    2,
    Buffer.concat([
      idOf(id),
      Buffer.from(
        `<?xml version="1.0"?><info><name>${name}</name><type>EEG</type><channel_count>${channels.length}</channel_count><nominal_srate>${hz}</nominal_srate><channel_format>${format}</channel_format><source_id>s &amp; t</source_id><desc><channels>${labels}</channels></desc></info>`,
      ),
    ]),
  );
}

export function streamFooter(id: number, count: number): Buffer {
  return chunk(6, Buffer.concat([idOf(id), Buffer.from(`<info><sample_count>${count}</sample_count></info>`)]));
}

export function clockOffset(id: number, at: number, offset: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeDoubleLE(at, 0);
  bytes.writeDoubleLE(offset, 8);
  return chunk(4, Buffer.concat([idOf(id), bytes]), 1);
}

export function samples({ id, format }: XdfStreamBytes, list: readonly XdfSample[]): Buffer {
  const parts = list.flatMap(([stamp, values]) => [stampOf(stamp), ...values.map((value) => valueOf(format, value))]);
  return chunk(3, Buffer.concat([idOf(id), Buffer.from([1, list.length]), ...parts]));
}

function idOf(id: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(id);
  return bytes;
}

function stampOf(stamp: number | null): Buffer {
  if (stamp === null) return Buffer.from([0]);
  const bytes = Buffer.alloc(9);
  bytes[0] = 8;
  bytes.writeDoubleLE(stamp, 1);
  return bytes;
}

function valueOf(format: XdfStreamBytes['format'], value: number | string): Buffer {
  const bytes = Buffer.alloc(8);
  if (format === 'string')
    return Buffer.concat([Buffer.from([1, Buffer.byteLength(String(value))]), Buffer.from(String(value))]);
  if (format === 'int16') return bytes.subarray(0, bytes.writeInt16LE(Number(value)));
  if (format === 'float32') return bytes.subarray(0, bytes.writeFloatLE(Number(value)));
  if (format === 'int64') return bytes.subarray(0, bytes.writeBigInt64LE(BigInt(value)));
  return bytes.subarray(0, bytes.writeDoubleLE(Number(value)));
}
