/** BIOPAC files by hand, field by field as application note 156 and the headers of later versions list them. */
export interface BiopacFile {
  readonly revision: 38 | 41 | 84 | 128;
  readonly isBigEndian?: boolean;
  readonly channels: readonly {
    name: string;
    unit: string;
    divider: number;
    samples: readonly number[];
    scale?: number;
    offset?: number;
    isFloat?: boolean;
  }[];
  readonly markers?: readonly (readonly [sample: number, text: string])[];
  readonly isCompressed?: boolean;
  readonly sampleTimeMs?: number;
}

export function biopacFile(file: BiopacFile): Buffer {
  const { revision, channels, isBigEndian = false, sampleTimeMs = 0.5 } = file;
  const isNew = revision >= 61;
  const put = (bytes: Buffer, at: number, kind: 'h' | 'l' | 'd', value: number): void => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (kind === 'h') view.setInt16(at, value, !isBigEndian);
    else if (kind === 'l') view.setInt32(at, value, !isBigEndian);
    else view.setFloat64(at, value, !isBigEndian);
  };
  const head = Buffer.alloc(isNew ? 1200 : 2000);
  put(head, 2, 'l', revision);
  put(head, 6, 'l', head.length);
  put(head, 10, 'h', channels.length);
  put(head, 16, 'd', sampleTimeMs);
  if (file.isCompressed) put(head, isNew ? 972 : 1936, 'l', 1);
  const padding = revision >= 124 ? Buffer.alloc(40) : Buffer.alloc(0);
  const heads = channels.map(({ name, unit, divider, samples, scale = 1, offset = 0 }, i) => {
    const bytes = Buffer.alloc(isNew ? 300 : 254);
    put(bytes, 0, 'l', bytes.length);
    put(bytes, 4, 'h', i + 1);
    bytes.write(name, 6, 'latin1');
    bytes.write(unit, 68, 'latin1');
    put(bytes, 88, 'l', samples.length);
    put(bytes, 92, 'd', scale);
    put(bytes, 100, 'd', offset);
    put(bytes, isNew ? 152 : 250, 'h', divider);
    return bytes;
  });
  // Its length counts itself, or in the later versions what follows the first eight bytes.
  const foreign = Buffer.alloc(isNew ? 20 : 16);
  put(foreign, 0, 'h', isNew ? 12 : 16);
  const kinds = channels.map(({ isFloat }) => {
    const bytes = Buffer.alloc(4);
    put(bytes, 0, 'h', isFloat ? 8 : 2);
    put(bytes, 2, 'h', isFloat ? 1 : 2);
    return bytes;
  });
  const data: Buffer[] = [];
  const taken = channels.map(() => 0);
  for (let tick = 0; channels.some(({ samples }, c) => taken[c] < samples.length); tick++) {
    channels.forEach(({ divider, samples, isFloat }, c) => {
      if (tick % divider !== 0 || taken[c] >= samples.length) return;
      const bytes = Buffer.alloc(isFloat ? 8 : 2);
      put(bytes, 0, isFloat ? 'd' : 'h', samples[taken[c]++]);
      data.push(bytes);
    });
  }
  return Buffer.concat([head, padding, ...heads, foreign, ...kinds, ...data, markersOf(file, put)]);
}

function markersOf(
  { revision, markers = [] }: BiopacFile,
  put: (bytes: Buffer, at: number, kind: 'h' | 'l' | 'd', value: number) => void,
): Buffer {
  const isNew = revision >= 61;
  const extra = (revision >= 124 ? 8 : 0) + (revision >= 128 ? 8 : 0);
  const items = markers.map(([sample, text]) => {
    const head = Buffer.alloc(isNew ? 16 + extra : 12);
    put(head, 0, 'l', sample);
    if (isNew) head.write('apnd', 10, 'latin1');
    put(head, head.length - 2, 'h', isNew ? text.length + 1 : text.length);
    return Buffer.concat([head, Buffer.from(`${text}\0`, 'latin1')]);
  });
  const head = Buffer.alloc(isNew ? 25 + extra : 8);
  put(
    head,
    0,
    'l',
    items.reduce((sum, item) => sum + item.length, 0),
  );
  put(head, 4, 'l', markers.length + (isNew ? 1 : 0));
  return Buffer.concat([head, ...items]);
}
